"""A timer that writes down each of its runs."""

import os

import azure.functions as func

app = func.FunctionApp()


@app.timer_trigger(arg_name="timer", schedule="%TEST_SCHEDULE%", use_monitor=True)
def tick(timer: func.TimerRequest) -> None:
    with open(os.environ["TEST_SEEN"], "a") as file:
        file.write("late\n" if timer.past_due else "in time\n")
