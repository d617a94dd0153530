"""What an API server says of its kinds is asked once, and anew when a definition is written."""

import asyncio

import pytest

from fluxless.kube.documents import Document, Documents


class Server:
    """Answers after a moment, and counts."""

    def __init__(self, *answers: int) -> None:
        self.asked = 0
        self._answers = list(answers)

    async def ask(self) -> Document:
        self.asked += 1
        await asyncio.sleep(0.01)
        status = self._answers.pop(0) if self._answers else 200
        if status == 0:
            raise ConnectionResetError("away")
        return Document(status, "application/json", b"{}")


@pytest.mark.parametrize(
    ("method", "path", "served"),
    [
        ("GET", "/version", True),
        ("GET", "/apis", True),
        ("GET", "/openapi/v3", True),
        ("GET", "/openapi/v3/apis/apps/v1", True),
        ("GET", "/apis/apps/v1", True),
        ("GET", "/api/v1/namespaces", False),
        ("GET", "/apis/apps/v1/deployments", False),
        ("GET", "/api/v1/namespaces/default/secrets/x", False),
        ("POST", "/version", False),
    ],
)
def test_kinds_are_not_objects(method: str, path: str, served: bool) -> None:
    assert Documents().serves(method, path) is served


async def test_many_ask_at_once_and_one_request_is_sent() -> None:
    documents, server = Documents(), Server()
    found = await asyncio.gather(*(documents.get("/apis", "json", server.ask) for _ in range(5)))
    assert {document.status for document in found} == {200}
    assert server.asked == 1
    await documents.get("/apis", "protobuf", server.ask)
    assert server.asked == 2
    documents.forget_if_defining("PATCH", "/apis/apps/v1/namespaces/n/deployments/x")
    await documents.get("/apis", "json", server.ask)
    assert server.asked == 2
    documents.forget_if_defining("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
    await documents.get("/apis", "json", server.ask)
    assert server.asked == 3


async def test_what_failed_is_asked_again() -> None:
    documents, server = Documents(), Server(503, 0)
    assert (await documents.get("/apis", "json", server.ask)).status == 503
    with pytest.raises(ConnectionResetError):
        await documents.get("/apis", "json", server.ask)
    assert (await documents.get("/apis", "json", server.ask)).status == 200
    assert server.asked == 3
