"""Nobody is answered without a key but the webhooks, which check for themselves."""

from tests.support.app import routes

DOORS = {
    "hook/{digest}",
    "api/hooks/github",
    "api/hooks/gitlab",
    "api/hooks/azuredevops",
    "api/hooks/acr",
    "api/hooks/eventgrid",
    "api/hooks/cluster/{cluster}/{token}",
}


def test_only_webhooks_answer_without_a_key() -> None:
    assert {route for route, level in routes().items() if level == "ANONYMOUS"} == DOORS
    assert set(routes().values()) == {"ANONYMOUS", "FUNCTION"}
