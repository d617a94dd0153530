"""A run becomes one line that machines read, and a span in the trace of the commit that its chain began with."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from fluxless.engine import telling
from fluxless.reconcile.world import Ref, World

COMMIT = "main@sha1:" + "a" * 40
SOURCE = "source.toolkit.fluxcd.io/v1"


def made(kind: str, name: str, revision: str = "", **spec: Any) -> dict[str, Any]:
    groups = {"Kustomization": "kustomize.toolkit.fluxcd.io/v1", "HelmRelease": "helm.toolkit.fluxcd.io/v2"}
    status = {"artifact": {"revision": revision, "digest": "sha256:1"}} if revision else {}
    return {
        "apiVersion": groups.get(kind, SOURCE),
        "kind": kind,
        "metadata": {"name": name, "namespace": "apps"},
        "spec": spec,
        "status": status,
    }


GIT = made("GitRepository", "repo", COMMIT)
APP = made("Kustomization", "app", sourceRef={"kind": "GitRepository", "name": "repo"})
CHART = made("HelmChart", "apps-web", "1.0.0+aaaa", sourceRef={"kind": "GitRepository", "name": "repo"})
RELEASE = made("HelmRelease", "web", chartRef={"kind": "HelmChart", "name": "apps-web"})
WORLD = World({Ref.of(obj): obj for obj in (GIT, APP, CHART, RELEASE)}, 0.0)


def record(obj: dict[str, Any], result: str = "ready", **more: Any) -> dict[str, Any]:
    ref = Ref.of(obj)
    known = {"ts": "2026-01-01T00:00:00Z", "cluster": "prod", "result": result, "reason": "Succeeded", "seconds": 1.5}
    return {**known, **ref._asdict(), "revision": COMMIT, "message": "done", **more}


def test_everything_made_of_a_commit_is_in_its_trace() -> None:
    fetched = telling.span(record(GIT), GIT, WORLD)
    spans = [telling.span(record(obj, revision="1.0.0"), obj, WORLD) for obj in (APP, CHART, RELEASE)]
    assert {span.about for span in (fetched, *spans)} == {"sha1:" + "a" * 40}
    assert {span.parent for span in spans} == {fetched.me} == {"prod GitRepository/apps/repo"}
    assert fetched.parent == ""
    assert telling.told(json.dumps({"after": "a" * 40}).encode()) == fetched.about


def test_a_source_that_fails_is_no_parent() -> None:
    failed = telling.span(record(GIT, "retry", message="no such branch"), GIT, WORLD)
    assert (failed.me, failed.error) == ("", "no such branch")


def test_what_has_no_revision_yet_has_a_trace_of_its_own() -> None:
    alone = made("Kustomization", "lost", sourceRef={"kind": "GitRepository", "name": "gone"})
    span = telling.span(record(alone, "retry", revision=""), alone, WORLD)
    assert (span.about, span.parent) == ("prod Kustomization/apps/lost", "")


def test_a_span_says_what_was_applied() -> None:
    changes = [{"subject": "ConfigMap/apps/a", "action": "created"}, {"subject": "Secret/apps/b", "action": "deleted"}]
    span = telling.span(record(APP, changes=changes), APP, WORLD)
    assert span.attributes["applied"] == "ConfigMap/apps/a created; Secret/apps/b deleted"
    assert (span.attributes["changes"], span.attributes["cluster"], span.seconds) == (2, "prod", 1.5)


@pytest.mark.parametrize("message", ["plain", 'with "quotes" and = signs', "two\nlines", "", "back\\slash", "x" * 900])
def test_a_line_is_read_back(message: str) -> None:
    text = telling.line(record(APP, message=message, changes=[{"subject": "a", "action": "created"}]))
    assert "\n" not in text
    read = dict(pair.split("=", 1) for pair in shlex.split(text.replace("\\n", " ")))
    assert (read["cluster"], read["kind"], read["name"]) == ("prod", "Kustomization", "app")
    assert (read["revision"], read["result"], read["changes"]) == (COMMIT, "ready", "1")
    assert read["message"] == message.replace("\n", " ")[: telling.MESSAGE_LIMIT]


@pytest.mark.parametrize(
    ("body", "about"),
    [
        ({"after": "b" * 40}, "sha1:" + "b" * 40),
        ({"checkout_sha": "c" * 40}, "sha1:" + "c" * 40),
        ({"resource": {"refUpdates": [{"newObjectId": "d" * 40}]}}, "sha1:" + "d" * 40),
        ({"push": {"changes": [{"new": {"target": {"hash": "e" * 40}}}]}}, "sha1:" + "e" * 40),
        ({"target": {"digest": "sha256:" + "f" * 64}}, "sha256:" + "f" * 64),
        ([{"data": {"target": {"digest": "sha256:" + "1" * 64}}}], "sha256:" + "1" * 64),
        ({"after": "0" * 40}, ""),
        ({"after": "<script>"}, ""),
        ({"after": {"x": 1}, "push": []}, ""),
        ([], ""),
        ("text", ""),
    ],
)
def test_a_webhook_names_its_commit(body: Any, about: str) -> None:
    assert telling.told(json.dumps(body).encode()) == about


def test_a_body_that_is_no_json_names_none() -> None:
    assert telling.told(b"\xff\x00") == ""
