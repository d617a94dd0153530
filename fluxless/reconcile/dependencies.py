"""Who waits for whom (KC-62), over a `World`. Pure: plans and steps ask the same questions of the same snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fluxless.api import conditions, reasons
from fluxless.limits import CEL_NAMESPACE, CEL_OBJECT, CHAIN_LINKS, DEPENDENCIES
from fluxless.reconcile.cycles import Cycles
from fluxless.reconcile.expression_cost import Budget
from fluxless.reconcile.expressions import EvaluationFailed, InvalidExpression, expression
from fluxless.reconcile.world import Ref, World


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why an object may not run yet, with the condition reason that says so.

    `impossible` means that waiting cannot help: the user must change a reference.
    """

    message: str
    reason: str = reasons.DEPENDENCY_NOT_READY
    impossible: bool = False


def references(obj: Mapping[str, Any]) -> list[Ref]:
    """The objects named in `spec.dependsOn`, in order; namespace and kind default to the object's own (KC-9)."""
    me = Ref.of(obj)
    return [
        Ref(entry.get("kind") or me.kind, entry.get("namespace") or me.namespace, entry["name"])
        for entry in obj.get("spec", {}).get("dependsOn") or []
    ]


def _entries(obj: Mapping[str, Any]) -> int:
    """How many entries `spec.dependsOn` has."""
    return len(obj.get("spec", {}).get("dependsOn") or [])


def source_of(obj: Mapping[str, Any]) -> Ref | None:
    """The source that a Kustomization consumes, or None for kinds without `spec.sourceRef`."""
    ref = obj.get("spec", {}).get("sourceRef")
    if not ref or obj.get("kind") == "ExternalArtifact":
        return None
    return Ref(ref["kind"], ref.get("namespace") or obj["metadata"].get("namespace", ""), ref["name"])


def chart_of(obj: Mapping[str, Any]) -> Ref | None:
    """What a HelmRelease takes its chart from: `spec.chartRef`, or the HelmChart that is made for it (HR-1, HR-5)."""
    if obj.get("kind") != "HelmRelease":
        return None
    spec, me = obj.get("spec") or {}, Ref.of(obj)
    if given := spec.get("chartRef"):
        return Ref(given["kind"], given.get("namespace") or me.namespace, given["name"])
    source = spec["chart"]["spec"]["sourceRef"]
    return Ref("HelmChart", source.get("namespace") or me.namespace, f"{me.namespace}-{me.name}")


def is_address(obj: Mapping[str, Any]) -> bool:
    """A HelmRepository of type oci: nobody reconciles it, and it has no artifact (HRP-2)."""
    return bool(obj["kind"] == "HelmRepository" and (obj.get("spec") or {}).get("type") == "oci")


def is_static(obj: Mapping[str, Any]) -> bool:
    """Whether nobody reconciles it: an address, or an ExternalArtifact, whose maker writes its status (EA-1)."""
    return obj["kind"] == "ExternalArtifact" or is_address(obj)


def sources_of(obj: Mapping[str, Any]) -> list[Ref]:
    """All sources whose artifacts an object consumes: a change of one of them starts it."""
    source, me = source_of(obj) or chart_of(obj), Ref.of(obj)
    spec = obj.get("spec", {})
    included = spec.get("include") or [] if me.kind == "GitRepository" else []
    made_of = spec.get("sources") or [] if me.kind == "ArtifactGenerator" else []
    return [
        *(Ref(entry["kind"], entry.get("namespace") or me.namespace, entry["name"]) for entry in made_of),
        *([source] if source is not None else []),
        *(Ref(me.kind, me.namespace, entry["repository"]["name"]) for entry in included),
    ]


def artifact_of(source: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The artifact in a source's status, or None while there is none."""
    artifact = (source or {}).get("status", {}).get("artifact")
    return artifact if isinstance(artifact, dict) and artifact.get("digest") else None


def waits_for(obj: Mapping[str, Any], world: World) -> Blocked | None:
    """The first reason why the object must wait: its source (KC-60), then its dependencies (KC-62)."""
    source = source_of(obj)
    if source is not None:
        found = world.get(source)
        if found is not None and is_address(found):
            return _dependency(obj, world)
        if found is None:
            return Blocked(f"Source '{source}' not found", reasons.ARTIFACT_FAILED)
        if artifact_of(found) is None:
            return Blocked("Source artifact not found, retrying in 30s", reasons.ARTIFACT_FAILED)
    return _dependency(obj, world)


def _dependency(obj: Mapping[str, Any], world: World) -> Blocked | None:
    entries = _entries(obj)
    if not entries:
        return None
    if entries > DEPENDENCIES:
        message = f"spec.dependsOn has {entries} entries, and may have {DEPENDENCIES}"
        return Blocked(message, impossible=True)
    if loop := cycle(Ref.of(obj), world):
        path = " -> ".join(f"{ref.namespace}/{ref.name}" if ref else "…" for ref in loop)
        return Blocked(f"dependency cycle: {path}", impossible=True)
    try:
        message = _first_unready(obj, world)[0]
        return Blocked(message + _root(obj, world)) if message else None
    except InvalidExpression as problem:
        return Blocked(problem.failures[0].message, reasons.INVALID_CEL_EXPRESSION, impossible=True)


def _expressions(obj: Mapping[str, Any]) -> dict[Ref, str]:
    """`readyExpr` of the entries that have one (CM-22)."""
    entries = obj.get("spec", {}).get("dependsOn") or []
    pairs = zip(references(obj), entries, strict=True)
    return {ref: str(entry["readyExpr"]) for ref, entry in pairs if entry.get("readyExpr")}


def _budget(obj: Mapping[str, Any], world: World) -> Budget:
    """What the expressions of an object may cost: a plan and the steps after it share what its namespace may."""
    namespace = Ref.of(obj).namespace
    budgets: dict[str, Budget] = world.reckoned.setdefault("budgets", {})
    whose = f"all readyExpr of namespace '{namespace}'"
    above = budgets.setdefault(namespace, Budget(CEL_NAMESPACE, whose))
    return Budget(CEL_OBJECT, "all readyExpr of its object", above)


def _by_expression(text: str, name: str, obj: Mapping[str, Any], dependency: Mapping[str, Any], budget: Budget) -> str:
    """What a `readyExpr` says against the dependency; in place of the built-in check, or before it.

    Raises `InvalidExpression`.
    """
    try:
        holds = expression(text, "self", "dep").holds({"self": obj, "dep": dependency}, budget)
    except EvaluationFailed as problem:
        return f"dependency '{name}' is not ready: {problem.failures[0].message}"
    return "" if holds else f"dependency '{name}' is not ready according to readyExpr eval"


_Unready = tuple[str, dict[str, Any] | None]
"""What is wrong with the first dependency that is not ready, and that dependency; ("", None) when all are."""


def _first_unready(obj: Mapping[str, Any], world: World) -> _Unready:
    """Looked for once per object of the snapshot, and again for an object that has changed since. Raises
    `InvalidExpression`.
    """
    me = Ref.of(obj)
    if world.get(me) is not obj:
        return _look_for_unready(obj, world)
    known: dict[Ref, _Unready | InvalidExpression] = world.reckoned.setdefault("unready", {})
    if me not in known:
        try:
            known[me] = _look_for_unready(obj, world)
        except InvalidExpression as problem:
            known[me] = problem
    found = known[me]
    if isinstance(found, InvalidExpression):
        raise found.with_traceback(None)
    return found


def _look_for_unready(obj: Mapping[str, Any], world: World) -> _Unready:
    expressions, budget = _expressions(obj), _budget(obj, world)
    for ref in references(obj):
        name = f"{ref.namespace}/{ref.name}"
        seen = world.as_seen_by(obj, ref) if ref in expressions else world.dependency(obj, ref)
        if seen is None:
            return _unseen(obj, ref, world), None
        dependency = world.dependency(obj, ref) or seen
        if ref in expressions:
            if said := _by_expression(expressions[ref], name, obj, seen, budget):
                return said, dependency
            if not world.rules.additive:
                continue
        found = dependency.get("status")
        status = found if isinstance(found, Mapping) else {}
        generation = dependency["metadata"].get("generation")
        if status.get("observedGeneration", generation) != generation or not conditions.is_true(dependency, "Ready"):
            return f"dependency '{name}' is not ready", dependency
        if not _up_to_date(obj, dependency, world):
            return f"dependency '{name}' revision is not up to date", dependency
    return "", None


def _unseen(obj: Mapping[str, Any], ref: Ref, world: World) -> str:
    name, user = f"{ref.namespace}/{ref.name}", world.user(obj)
    if (user, ref) not in world.denied:
        return f"dependency '{name}' not found"
    return f"dependency '{name}' cannot be read by '{user}': allow it to get {ref.kind} in namespace '{ref.namespace}'"


def _root(obj: Mapping[str, Any], world: World) -> str:
    """What stands at the end of the chain that the object waits for, so that it is named on all of the chain."""
    last, message = _first_unready(obj, world)[1], ""
    for _ in range(CHAIN_LINKS):
        if last is None:
            break
        if (last.get("spec") or {}).get("suspend"):
            name = f"{last['metadata'].get('namespace', '')}/{last['metadata']['name']}"
            return f" (it waits in the end for '{name}', which is suspended)"
        if world.get(Ref.of(last)) is not last or _entries(last) > DEPENDENCIES:
            break  # a foreign kind, or one that is told so itself
        found, last = _first_unready(last, world)
        message = found or message
    return f" (in the end: {message})" if message else ""


def _up_to_date(obj: Mapping[str, Any], dependency: Mapping[str, Any], world: World) -> bool:
    """Two objects of one source: the dependency must have applied the source's current revision (KC-62)."""
    source = source_of(obj)
    if source is None or source != source_of(dependency):
        return True
    artifact = artifact_of(world.get(source))
    return artifact is None or dependency.get("status", {}).get("lastAppliedRevision") == artifact.get("revision")


def cycle(start: Ref, world: World) -> tuple[Ref | None, ...]:
    """The shortest way from `start` back to itself along `dependsOn`, both ends included; empty when there is none.
    None stands for what takes too long to be found.
    """
    cycles: Cycles[Ref] | None = world.reckoned.get("cycles")
    if cycles is None:
        cycles = world.reckoned["cycles"] = Cycles(
            {ref: references(obj) if _entries(obj) <= DEPENDENCIES else [] for ref, obj in world.objects.items()}
        )
    return cycles.through(start)
