"""Fields that a kind does not have, as API servers name them."""

from typing import Any

import pytest

from fluxless.apply.unknown import without_unknown

PORT: dict[str, Any] = {"containerPort": 80, "protocol": "TCP"}
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "owner": "me"},
    "spec": {
        "replica": 1,
        "template": {
            "spec": {
                "containers": [
                    {"name": "side"},
                    {
                        "name": "main",
                        "pullPolicy": "Always",
                        "ports": [{"containerPort": 80, "protocol": "TCP", "p": 1}],
                    },
                ]
            }
        },
    },
}
HEAD = "failed to create typed patch object (ns/web; apps/v1, Kind=Deployment): "
NOT_DECLARED = ": field not declared in schema"


def _refusal(*paths: str) -> str:
    lines = [f"{path}{NOT_DECLARED}" for path in paths]
    return HEAD + (lines[0] if len(lines) == 1 else "errors:" + "".join(f"\n  {line}" for line in lines))


def test_all_that_is_named_is_dropped_and_nothing_else() -> None:
    port = '.spec.template.spec.containers[name="main"].ports[containerPort=80,protocol="TCP"].p'
    paths = (".metadata.owner", ".spec.replica", '.spec.template.spec.containers[name="main"].pullPolicy', port)
    found = without_unknown(DEPLOYMENT, _refusal(*paths))
    assert found is not None
    changed, dropped = found
    assert dropped == paths
    main = {"name": "main", "ports": [PORT]}
    assert changed["metadata"] == {"name": "web"}
    assert changed["spec"] == {"template": {"spec": {"containers": [{"name": "side"}, main]}}}
    assert DEPLOYMENT["spec"]["replica"] == 1


def test_an_item_is_found_by_its_index() -> None:
    found = without_unknown(DEPLOYMENT, _refusal(".spec.template.spec.containers[1].pullPolicy"))
    assert found is not None
    assert "pullPolicy" not in found[0]["spec"]["template"]["spec"]["containers"][1]


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        (_refusal(".spec.replica").replace(NOT_DECLARED, ": expected numeric, got string"), {}),
        (_refusal(".spec.replica") + "\n  .spec.x: expected map", {}),
        (_refusal(".spec.absent"), {}),
        (_refusal(".spec.containers[7].x"), {}),
        ("admission webhook denied the request: .spec.replica: field not declared in schema", {}),
        (_refusal(".spec.replica"), {"apiVersion": "example.com/v1"}),
        (_refusal(".spec.replica"), {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role"}),
    ],
)
def test_anything_else_stays_an_error(message: str, changes: dict[str, str]) -> None:
    assert without_unknown(DEPLOYMENT | changes, message) is None
