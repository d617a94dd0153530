"""Which fields differ, and whose they are."""

from typing import Any

import pytest

from fluxless.apply.changes import changes


def _obj(spec: dict[str, Any], **managers: dict[str, Any]) -> dict[str, Any]:
    entries = [
        {"manager": name, "operation": "Update", "fieldsV1": {"f:spec": trie}, "time": f"2026-01-0{number}T00:00:00Z"}
        for number, (name, trie) in enumerate(managers.items(), 1)
    ]
    return {
        "metadata": {"name": "x", "managedFields": entries, "resourceVersion": "7"},
        "spec": spec,
        "status": {"a": 1},
    }


@pytest.mark.parametrize(
    ("live", "wanted", "managers", "said"),
    [
        ({"a": 1}, {"a": 1}, {}, []),
        ({"a": 2}, {"a": 1}, {"k": {"f:a": {}}}, [".spec.a changed by k"]),
        ({}, {"a": 1}, {}, [".spec.a removed"]),
        ({"a": 2}, {"a": 1}, {"k": {"f:b": {}}}, [".spec.a removed"]),
        ({"a": {"b": 2}}, {"a": {"b": 1}}, {"k": {"f:a": {}}}, [".spec.a.b changed by k"]),
        ({"a": 2}, {"a": 1}, {"k": {"f:a": {}}, "m": {"f:a": {}}}, [".spec.a changed by m, k"]),
        (
            {"c": [{"name": "x", "image": "2"}]},
            {"c": [{"name": "x", "image": "1"}]},
            {"k": {"f:c": {'k:{"name":"x"}': {".": {}, "f:image": {}}}}},
            ['.spec.c[name="x"].image changed by k'],
        ),
        (
            {"c": [{"name": "x"}, {"name": "y"}]},
            {"c": [{"name": "y"}]},
            {"k": {"f:c": {'k:{"name":"x"}': {".": {}}}}},
            ['.spec.c[name="x"] changed by k'],
        ),
        ({"c": ["a"]}, {"c": ["b"]}, {"k": {"f:c": {}}}, [".spec.c changed by k"]),
        ({"a": {"x.y/z": "1"}}, {"a": {"x.y/z": "2"}}, {}, ['.spec.a["x.y/z"] removed']),
    ],
)
def test_fields(live: dict[str, Any], wanted: dict[str, Any], managers: dict[str, Any], said: list[str]) -> None:
    found = changes(_obj(live, **managers), _obj(wanted) | {"status": {}})
    assert [str(change) for change in found] == said


def test_our_own_entry_is_nobody_elses() -> None:
    live = _obj({"a": 2})
    entry = {"manager": "kustomize-controller", "operation": "Apply", "fieldsV1": {"f:spec": {"f:a": {}}}}
    live["metadata"]["managedFields"] = [entry]
    assert [change.manager for change in changes(live, _obj({"a": 1}))] == [""]
