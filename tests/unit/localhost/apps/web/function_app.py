"""HTTP functions of all levels, and one that uses the durable client."""

import json
from collections.abc import Generator
from typing import Any

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)


@app.route(route="open/{name}/{size:int?}", auth_level=func.AuthLevel.ANONYMOUS)
async def open_door(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(dict(req.route_params)), mimetype="application/json")


@app.route(route="closed", methods=["POST"])
def closed_door(req: func.HttpRequest) -> str:
    return req.get_body().decode()


@app.route(route="inner", auth_level=func.AuthLevel.ADMIN)
def inner_door(req: func.HttpRequest) -> str:
    return "inside"


@app.route(route="failing", auth_level=func.AuthLevel.ANONYMOUS)
def failing(req: func.HttpRequest) -> str:
    raise ValueError("not for the caller")


@app.route(route="client/{id}", auth_level=func.AuthLevel.ANONYMOUS)
@app.durable_client_input(client_name="client")
async def through_client(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    id_ = req.route_params["id"]
    steps: list[Any] = [bool(await client.get_status(id_))]
    await client.start_new("waiting", id_, {"a": 1})
    try:
        await client.start_new("waiting", id_, {"a": 2})
        steps.append("started twice")
    except Exception as error:
        steps.append("already" in str(error))
    await client.raise_event(id_, "go", {"b": 2})
    answer = await client.wait_for_completion_or_create_check_status_response(req, id_, 5000, 50)
    steps.append(json.loads(answer.get_body()))
    steps.append((await client.purge_instance_history(id_)).instances_deleted)
    return func.HttpResponse(json.dumps(steps))


@app.orchestration_trigger(context_name="context")
def waiting(context: df.DurableOrchestrationContext) -> Generator[Any, Any, Any]:
    event = yield context.wait_for_external_event("go")
    return [context.get_input(), json.loads(event) if isinstance(event, str) else event]
