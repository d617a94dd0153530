"""Nobody is answered without a key but the webhooks, which check for themselves."""

import json

import pytest

DOORS = {
    "hook/{digest}",
    "api/hooks/github",
    "api/hooks/gitlab",
    "api/hooks/azuredevops",
    "api/hooks/acr",
    "api/hooks/eventgrid",
    "api/hooks/cluster/{cluster}/{token}",
}


def test_only_webhooks_answer_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUXLESS_TASK_HUB", "hub")
    import function_app

    routes: dict[str, str] = {}
    for function in function_app.app.get_functions():
        for binding in json.loads(function.get_function_json())["bindings"]:
            if binding["type"] == "httpTrigger":
                routes[binding["route"]] = str(binding["authLevel"]).upper()
    assert {route for route, level in routes.items() if level == "ANONYMOUS"} == DOORS
    assert set(routes.values()) == {"ANONYMOUS", "FUNCTION"}
