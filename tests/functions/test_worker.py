"""The app as Azure sees it: indexed and invoked by Microsoft's own worker library."""

from tests.support import worker
from tools.places import ROOT

DOORS = ("hook", "github", "gitlab", "azure_devops", "acr", "event_grid", "cluster_changed")


def test_the_worker_indexes_the_app_and_invokes_it() -> None:
    answer = worker.ask(ROOT)
    assert answer["functions"] == {
        "sync": ["orchestrationTrigger"],
        "announce": ["orchestrationTrigger"],
        "plan": ["activityTrigger"],
        "reconcile": ["activityTrigger"],
        "request": ["activityTrigger"],
        "tick": ["durableClient", "timerTrigger"],
        **{name: ["durableClient", "http", "httpTrigger"] for name in DOORS},
        "clock": ["orchestrationTrigger"],
        "look_at_heartbeat": ["activityTrigger", "durableClient"],
        "metrics": ["durableClient", "http", "httpTrigger"],
        "check": ["durableClient", "http", "httpTrigger"],
        "wake_clusters": ["durableClient", "http", "httpTrigger"],
    }
    assert answer["github"] == "401"
    assert answer["plan"]["ok"] is False
    first = answer["sync"]["actions"][0][0]
    assert (first["functionName"], first["actionType"]) == ("plan", 0)
