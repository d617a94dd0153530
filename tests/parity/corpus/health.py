"""Readiness and order between Kustomizations (KC-9, KC-26..28, KC-62, KC-93..95)."""

from __future__ import annotations

from typing import Any

from tests.parity.corpus.manifests import cm, job, named, workload, yaml
from tests.parity.scenario import MARK, Step, one, scenario

WEB = yaml(workload("web"))
STUCK = yaml(workload("web", deadline=1, nodeSelector={"nowhere": "true"}))
PENDING = yaml(workload("web", nodeSelector={"nowhere": "true"}))
BASE = {"path": "./base"}


def check(api_version: str, kind: str, name: str) -> dict[str, str]:
    """An entry of `healthChecks`."""
    return {"apiVersion": api_version, "kind": kind, "name": name, "namespace": MARK}


def rule(**expressions: str) -> dict[str, Any]:
    """`healthCheckExprs` for ConfigMaps."""
    return {"wait": True, "healthCheckExprs": [{"apiVersion": "v1", "kind": "ConfigMap", **expressions}]}


SCENARIOS = (
    one(
        "wait-for-everything",
        "KC-26",
        {"web.yaml": WEB, "j.yaml": yaml(job("work")), "a.yaml": cm("a")},
        {"wait": True},
    ),
    one("wait-for-things-without-a-status", "KC-26", {"a.yaml": cm("a")}, {"wait": True}),
    one("wait-with-nothing-there", "KC-26", {"README.md": "words"}, {"wait": True}),
    one(
        "wait-for-a-failing-job", "KC-93", {"j.yaml": yaml(job("work", fails=True)), "a.yaml": cm("a")}, {"wait": True}
    ),
    one("wait-for-a-stuck-deployment", "KC-93", {"web.yaml": STUCK}, {"wait": True, "timeout": "2m"}),
    one(
        "wait-until-the-timeout",
        "KC-93 KC-3",
        {"web.yaml": PENDING, "a.yaml": cm("a")},
        {"wait": True, "timeout": "5s"},
    ),
    one("named-checks", "KC-27", {"web.yaml": WEB}, {"healthChecks": [check("apps/v1", "Deployment", "web")]}),
    one(
        "named-checks-look-at-nothing-else",
        "KC-27",
        {"web.yaml": PENDING, "a.yaml": cm("a")},
        {"healthChecks": [check("v1", "ConfigMap", "a")]},
    ),
    one(
        "a-named-check-of-something-that-fails",
        "KC-27",
        {"j.yaml": yaml(job("work", fails=True))},
        {"healthChecks": [check("batch/v1", "Job", "work")]},
    ),
    one(
        "a-named-check-of-something-missing",
        "KC-27",
        {"a.yaml": cm("a")},
        {"healthChecks": [check("v1", "ConfigMap", "gone")], "timeout": "5s"},
    ),
    one(
        "a-named-check-of-a-missing-kind",
        "KC-27",
        {"a.yaml": cm("a")},
        {"healthChecks": [check("example.com/v1", "Nothing", "gone")], "timeout": "5s"},
    ),
    one(
        "wait-wins-over-named-checks",
        "KC-26",
        {"a.yaml": cm("a")},
        {"wait": True, "healthChecks": [check("v1", "ConfigMap", "gone")]},
    ),
    scenario(
        "a-failure-then-health",
        "KC-95",
        Step(push={"j.yaml": yaml(job("one", fails=True))}, spec={"wait": True}),
        Step(push={"j.yaml": yaml(job("two"))}),
    ),
    scenario(
        "health-then-a-failure",
        "KC-95",
        Step(push={"a.yaml": cm("a")}, spec={"wait": True}),
        Step(push={"j.yaml": yaml(job("one", fails=True))}),
    ),
    scenario(
        "no-more-checks",
        "KC-48",
        Step(push={"a.yaml": cm("a")}, spec={"wait": True}),
        Step(spec={"wait": False}),
    ),
    one(
        "expressions-that-hold",
        "KC-28",
        {"a.yaml": cm("a", {"value": "up"})},
        rule(current="data.value == 'up'", failed="data.value == 'down'"),
    ),
    one(
        "expressions-that-fail",
        "KC-28",
        {"a.yaml": cm("a", {"value": "down"})},
        rule(current="data.value == 'up'", failed="data.value == 'down'"),
    ),
    one(
        "expressions-that-never-hold",
        "KC-28",
        {"a.yaml": cm("a", {"value": "soon"})},
        rule(current="data.value == 'up'", inProgress="data.value == 'soon'") | {"timeout": "5s"},
    ),
    one("expressions-that-are-none", "KC-47", {"a.yaml": cm("a")}, rule(current="data.value ==")),
    scenario(
        "a-dependency",
        "KC-62",
        Step(
            push={"base/a.yaml": cm("a"), "app/b.yaml": cm("b")},
            others={"base": {"path": "./base"}},
            spec={"path": "./app", "dependsOn": [{"name": "base"}]},
            ends="True",
        ),
        Step(push={"base/a.yaml": cm("a", {"value": "2"}), "app/b.yaml": cm("b", {"value": "2"})}, ends="True"),
    ),
    scenario(
        "a-dependency-that-is-suspended",
        "KC-62",
        Step(push={"base/a.yaml": cm("a"), "app/b.yaml": cm("b")}, spec={"path": "./app"}, others={"base": BASE}),
        Step(others={"base": {**BASE, "suspend": True}}, spec={"dependsOn": [{"name": "base"}]}, ends="True"),
    ),
    one("a-dependency-that-is-missing", "KC-62", {"a.yaml": cm("a")}, {"dependsOn": [{"name": "gone"}]}),
    scenario(
        "a-dependency-that-fails",
        "KC-62",
        Step(
            push={"app/b.yaml": cm("b")},
            others={"base": {"path": "./gone"}},
            spec={"path": "./app", "dependsOn": [{"name": "base"}]},
            ends="False",
        ),
    ),
    one("a-dependency-on-itself", "KC-62", {"a.yaml": cm("a")}, {"dependsOn": [{"name": "app"}]}),
    scenario(
        "a-circle-of-dependencies",
        "KC-62",
        Step(
            push={"a.yaml": cm("a")},
            others={"base": {"dependsOn": [{"name": "app"}]}},
            spec={"dependsOn": [{"name": "base"}]},
            ends="False",
        ),
    ),
    scenario(
        "a-dependency-with-an-expression",
        "KC-9",
        Step(
            push={"base/a.yaml": cm("a"), "app/b.yaml": cm("b")},
            others={"base": {"path": "./base"}},
            spec={
                "path": "./app",
                "dependsOn": [
                    {"name": "base", "readyExpr": "dep.metadata.name == 'base' && self.metadata.name == 'app'"}
                ],
            },
            ends="True",
        ),
    ),
    scenario(
        "a-dependency-with-an-expression-that-is-none",
        "KC-47",
        Step(
            push={"app/b.yaml": cm("b"), "base/a.yaml": cm("a")},
            others={"base": {"path": "./base"}},
            spec={"path": "./app", "dependsOn": [{"name": "base", "readyExpr": "dep.status =="}]},
            ends="False",
        ),
    ),
    one(
        "wait-for-a-claim-and-a-service",
        "KC-93",
        {
            "s.yaml": yaml(named("v1", "Service", "s", spec={"ports": [{"port": 80}], "clusterIP": "None"})),
            "w.yaml": WEB,
        },
        {"wait": True},
    ),
)
