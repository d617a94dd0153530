"""The app as Azure Functions indexes it: one line per blueprint, no logic."""

import azure.durable_functions as df
import azure.functions as func

from functions import activities, insight, orchestrators, queues, timers, webhooks

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)
app.register_functions(orchestrators.blueprint)
app.register_functions(activities.blueprint)
app.register_functions(timers.blueprint)
app.register_functions(webhooks.blueprint)
app.register_functions(queues.blueprint)
app.register_functions(insight.blueprint)
