"""Fields left to others (KC-29, KC-87)."""

from typing import Any

import pytest

from fluxless.apply.ignore import Rule, leave_to_others

OBJECT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {
        "name": "web",
        "namespace": "shop",
        "labels": {"app": "web", "tier": "gold"},
        "annotations": {"a/b": "c"},
    },
    "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "x", "image": "one"}]}}},
}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({}, True),
        ({"kind": "Deployment", "group": "apps", "version": "v1"}, True),
        ({"kind": "StatefulSet"}, False),
        ({"group": "batch"}, False),
        ({"name": "w.*"}, True),
        ({"name": "w"}, False),
        ({"namespace": "shop|other"}, True),
        ({"labelSelector": "app=web"}, True),
        ({"labelSelector": "app!=web"}, False),
        ({"annotationSelector": "a/b==c"}, True),
    ],
)
def test_a_rule_means_the_objects_of_its_target(target: dict[str, str], expected: bool) -> None:
    assert Rule.parse({"paths": ["/spec"], "target": target}).means(OBJECT) is expected


def test_what_is_no_pointer_is_refused() -> None:
    with pytest.raises(ValueError, match="no JSON pointer"):
        Rule.parse({"paths": ["spec/replicas"]})


def _live(replicas: int, *managed: dict[str, Any]) -> dict[str, Any]:
    live = OBJECT | {"spec": OBJECT["spec"] | {"replicas": replicas}}
    return live | {"metadata": OBJECT["metadata"] | {"managedFields": list(managed)}}


RULES = [Rule.parse({"paths": ["/spec/replicas", "/spec/template/spec/containers/0/image", "/spec/none"]})]


def test_the_live_value_is_adopted_where_nobody_applies_it() -> None:
    live = _live(5, {"manager": "scaler", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}})
    assert leave_to_others(OBJECT, live, RULES, "us")["spec"]["replicas"] == 5
    assert OBJECT["spec"]["replicas"] == 1


def test_a_field_of_another_apply_manager_is_not_sent() -> None:
    live = _live(5, {"manager": "other", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}})
    sent = leave_to_others(OBJECT, live, RULES, "us")
    assert "replicas" not in sent["spec"]
    assert sent["spec"]["template"] == OBJECT["spec"]["template"]


def test_our_own_entry_is_nobody_else_s() -> None:
    live = _live(5, {"manager": "us", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}})
    assert leave_to_others(OBJECT, live, RULES, "us")["spec"]["replicas"] == 5


def test_an_object_that_no_rule_means_is_sent_as_it_is() -> None:
    rules = [Rule.parse({"paths": ["/spec/replicas"], "target": {"kind": "Service"}})]
    assert leave_to_others(OBJECT, _live(5), rules, "us") is OBJECT
