"""What annotations and labels on objects, and `spec.ignore`, ask of an apply (KC-82..88)."""

from __future__ import annotations

from tests.parity.corpus.manifests import cm, config, directive, named, workload, yaml
from tests.parity.scenario import MARK, Scenario, Step, scenario

THEIRS = config("a", {"value": "theirs", "extra": "theirs"}, namespace=MARK)


def over_theirs(name: str, rows: str, live: dict[str, str], ours: dict[str, str]) -> Scenario:
    """Somebody has made the object before us, with these annotations; ours has those."""
    theirs = THEIRS | {"metadata": {**THEIRS["metadata"], "annotations": live}}
    return scenario(name, rows, Step(put=(theirs,), push={"a.yaml": cm("a", annotations=ours), "b.yaml": cm("b")}))


def pushed_twice(name: str, rows: str, **values: str) -> Scenario:
    """Ours, made, changed, and taken away."""
    note = directive(**values)
    return scenario(
        name,
        rows,
        Step(push={"a.yaml": cm("a", annotations=note), "b.yaml": cm("b")}),
        Step(push={"a.yaml": cm("a", {"value": "2", "more": "2"}, annotations=note)}),
        Step(push={"a.yaml": None}),
    )


def scaled(replicas: int) -> dict[str, object]:
    """Somebody else's scale."""
    return {**named("apps/v1", "Deployment", "web"), "spec": {"replicas": replicas}}


SCENARIOS = (
    pushed_twice("reconcile-disabled", "KC-83", reconcile="disabled"),
    pushed_twice("prune-disabled", "KC-85", prune="disabled"),
    pushed_twice("prune-disabled-in-capitals", "KC-85", prune="Disabled"),
    pushed_twice("ssa-override", "KC-84", ssa="Override"),
    pushed_twice("ssa-merge", "KC-84", ssa="Merge"),
    pushed_twice("ssa-if-not-present", "KC-84", ssa="IfNotPresent"),
    pushed_twice("ssa-ignore", "KC-84", ssa="Ignore"),
    pushed_twice("ssa-nonsense", "KC-84", ssa="Whatever"),
    over_theirs("reconcile-disabled-live", "KC-83", directive(reconcile="disabled"), {}),
    over_theirs("reconcile-disabled-live-in-capitals", "KC-83", directive(reconcile="DISABLED"), {}),
    over_theirs("ssa-ignore-live", "KC-84", directive(ssa="Ignore"), {}),
    over_theirs("ssa-merge-live", "KC-84", directive(ssa="Merge"), {}),
    over_theirs("ssa-merge-over-theirs", "KC-84", {}, directive(ssa="Merge")),
    over_theirs("ssa-merge-in-small-letters", "KC-84", {}, directive(ssa="merge")),
    over_theirs("ssa-if-not-present-over-theirs", "KC-84", {}, directive(ssa="IfNotPresent")),
    over_theirs("ssa-if-not-present-live", "KC-84", directive(ssa="IfNotPresent"), {}),
    over_theirs("no-directive-over-theirs", "KC-86", {"note": "theirs"}, {}),
    scenario(
        "directives-as-labels",
        "KC-83 KC-84",
        Step(
            push={
                "a.yaml": cm("a", labels=directive(reconcile="disabled")),
                "b.yaml": cm("b", labels=directive(ssa="IfNotPresent")),
                "c.yaml": cm("c", labels=directive(ssa="Ignore")),
            }
        ),
        Step(push={"b.yaml": cm("b", {"value": "2"}, labels=directive(ssa="IfNotPresent"))}),
    ),
    scenario(
        "prune-disabled-on-the-live-object",
        "KC-85",
        Step(push={"a.yaml": cm("a"), "b.yaml": cm("b")}),
        Step(patch=(named("v1", "ConfigMap", "b", annotations=directive(prune="disabled")),)),
        Step(push={"b.yaml": None}),
    ),
    scenario(
        "reconcile-disabled-later-and-enabled-again",
        "KC-83",
        Step(push={"a.yaml": cm("a")}),
        Step(patch=(config("a", {"value": "by hand"}, annotations=directive(reconcile="disabled")),)),
        Step(push={"a.yaml": cm("a", {"value": "2"})}),
        Step(patch=(named("v1", "ConfigMap", "a", annotations={f"{'kustomize.toolkit.fluxcd.io'}/reconcile": None}),)),
    ),
    scenario(
        "ignored-fields-edited-by-hand",
        "KC-29 KC-87",
        Step(
            push={"web.yaml": yaml(workload("web"))},
            spec={"ignore": [{"paths": ["/spec/replicas"], "target": {"kind": "Deployment"}}]},
        ),
        Step(patch=(scaled(3),)),
        Step(push={"web.yaml": yaml(workload("web", image="example/web:2"))}),
    ),
    scenario(
        "ignored-fields-of-one-object-only",
        "KC-29 KC-87",
        Step(
            push={"web.yaml": yaml(workload("web")), "a.yaml": cm("a", {"x": "1"}), "b.yaml": cm("b", {"x": "1"})},
            spec={"ignore": [{"paths": ["/data/x"], "target": {"kind": "ConfigMap", "name": "a"}}]},
        ),
        Step(patch=(config("a", {"x": "edited"}), config("b", {"x": "edited"}))),
    ),
    scenario(
        "ignored-fields-without-a-target",
        "KC-29 KC-87",
        Step(
            push={"a.yaml": cm("a", {"x": "1", "y": "1"})},
            spec={"ignore": [{"paths": ["/data/x", "/data/gone"]}]},
        ),
        Step(patch=(config("a", {"x": "edited", "y": "edited"}),)),
    ),
)
