"""Names and digests of objects (KC-43)."""

import pytest

from fluxless.api.failure import Problem
from fluxless.apply.objects import object_id, parse_id, rendered_digest, subject

TABLE = [
    (
        "ns_a_apps_Deployment",
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "ns"}},
    ),
    ("_a__Namespace", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}),
    (
        "_system__node_rbac.authorization.k8s.io_ClusterRole",
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "system:node"}},
    ),
    ("ns_a_b__ConfigMap", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a_b", "namespace": "ns"}}),
]


@pytest.mark.parametrize(("text", "obj"), TABLE, ids=[row[0] for row in TABLE])
def test_an_inventory_id_goes_there_and_back(text: str, obj: dict[str, object]) -> None:
    assert object_id(obj) == text
    assert str(parse_id(text)) == text
    assert parse_id(text).subject == subject(obj)


def test_what_is_no_id_is_refused_with_the_next_step() -> None:
    with pytest.raises(Problem, match="unable to parse inventory id"):
        parse_id("a_b")


def test_a_digest_ignores_the_order_of_keys_and_depends_on_the_salt() -> None:
    assert rendered_digest({"a": 1, "b": 2}) == rendered_digest({"b": 2, "a": 1})
    assert rendered_digest({"a": 1}) != rendered_digest({"a": 2})
    assert rendered_digest({"a": 1}, "one") != rendered_digest({"a": 1}, "other")
