"""The values of a HelmRelease, from everywhere (HR-71). Ready=False ValuesError."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.helm import strvals, values
from fluxless.helm.run import HelmReleaseRun
from fluxless.reconcile.errors import Transient

VALUES_ERROR = "ValuesError"
DEFAULT_KEY = "values.yaml"


async def compose_values(run: HelmReleaseRun) -> None:
    """`valuesFrom` in its order, then `values`; what has a `targetPath` is set over both."""
    given: values.Values = run.spec.get("values") or {}
    found: values.Values = {}
    for entry in run.spec.get("valuesFrom") or []:
        text = await _text(run, entry)
        if text is None:
            continue
        where = f"{entry['kind']} '{run.ref.namespace}/{entry['name']}' with key '{_key(entry)}'"
        try:
            if path := str(entry.get("targetPath") or ""):
                found = _copied(values.merged(found, given))
                work = strvals.assign_literal if entry.get("literal") else strvals.assign
                work(found, path, text)
            else:
                found = values.merged(found, values.parsed(text, where))
        except strvals.InvalidPath as problem:
            words = f"{where} cannot be put at '{entry.get('targetPath')}': {problem}"
            raise _error(run, words, "correct targetPath or the value") from None
        except Problem as problem:
            raise _error(run, problem.failures[0].message, problem.failures[0].next_step) from problem
    run.values = values.merged(found, given)


def _copied(found: values.Values) -> values.Values:
    """Lists and mappings of its own: assigning changes them."""
    import copy

    return copy.deepcopy(found)


def _key(entry: Mapping[str, Any]) -> str:
    return str(entry.get("valuesKey") or DEFAULT_KEY)


async def _text(run: HelmReleaseRun, entry: Mapping[str, Any]) -> str | None:
    """What the key holds; None when it is optional and absent."""
    references, name, kind = run.survey.references(run.local), str(entry["name"]), str(entry["kind"])
    read = references.secret if kind == "Secret" else references.config_map
    data = await read(run.ref.namespace, name)
    full = f"'{run.ref.namespace}/{name}'"
    if data is not None and _key(entry) in data:
        return data[_key(entry)].decode(errors="replace")
    if entry.get("optional"):
        return None
    what = f"could not resolve {kind} chart values reference {full} with key '{_key(entry)}'"
    if data is None:
        raise _error(run, f"{what}: {kind} {full} not found", "create it, or set optional")
    has = ", ".join(sorted(data)) or "no keys"
    raise _error(run, f"{what}: key not found", f"it has {has}; correct valuesKey, or set optional")


def _error(run: HelmReleaseRun, words: str, step: str) -> Transient:
    return Transient(VALUES_ERROR, Failure(FailureClass.VALIDATION, words, str(run.ref), next_step=step))
