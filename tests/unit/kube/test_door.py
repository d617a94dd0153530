"""Where requests through the door go."""

import pytest

from fluxless.kube.door import Door

DOOR = Door("helm-controller", "web", "flux-system")
RECORD = b'{"metadata":{"name":"sh.helm.release.v1.app.v1"}}'
OURS = "/api/v1/namespaces/flux-system/secrets"
THEIRS = "/api/v1/namespaces/web/secrets"


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "expected"),
    [
        ("GET", THEIRS, "labelSelector=name%3Da,owner%3Dhelm", b"", OURS),
        ("POST", THEIRS, "", RECORD, OURS),
        ("POST", THEIRS, "", b"k8s\0...Secret..\n&sh.helm.release.v1.app.v1", OURS),
        ("PUT", f"{THEIRS}/sh.helm.release.v1.app.v1", "", RECORD, f"{OURS}/sh.helm.release.v1.app.v1"),
        ("DELETE", f"{THEIRS}/sh.helm.release.v1.app.v1", "", b"", f"{OURS}/sh.helm.release.v1.app.v1"),
        ("GET", THEIRS, "", b"", THEIRS),
        ("POST", THEIRS, "", b'{"metadata":{"name":"own"},"data":{"a":"' + b"x" * 300 + RECORD + b'"}}', THEIRS),
        ("PATCH", f"{THEIRS}/own", "", RECORD, f"{THEIRS}/own"),
        (
            "GET",
            "/api/v1/namespaces/other/secrets",
            "labelSelector=owner%3Dhelm",
            b"",
            "/api/v1/namespaces/other/secrets",
        ),
        ("POST", "/api/v1/namespaces/web/configmaps", "", RECORD, "/api/v1/namespaces/web/configmaps"),
    ],
)
def test_records_go_to_the_storage_namespace(method: str, path: str, query: str, body: bytes, expected: str) -> None:
    assert DOOR.path(method, path, query, body) == expected
    assert Door("x", "web", "web").path(method, path, query, body) == path


def test_writes_carry_our_field_manager() -> None:
    assert DOOR.query("fieldManager=helm&force=true") == "fieldManager=helm-controller&force=true"
    assert DOOR.query("labelSelector=a%3Db") == "labelSelector=a%3Db"
