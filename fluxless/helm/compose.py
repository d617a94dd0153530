"""The values of a HelmRelease, from everywhere (HR-71). Ready=False ValuesError."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from fluxless.api.failure import Problem
from fluxless.go_yaml import apart
from fluxless.helm import strvals, values
from fluxless.helm.run import HelmReleaseRun
from fluxless.helm.values import ValuesProblem
from fluxless.limits import HELM_VALUES
from fluxless.reconcile.errors import Transient
from fluxless.reconcile.secrets import References

VALUES_ERROR = "ValuesError"
DEFAULT_KEY = "values.yaml"


async def compose_values(run: HelmReleaseRun) -> None:
    """Set `run.values`."""
    try:
        run.values = await values_of(run.obj, run.survey.references(run.local))
    except ValuesProblem as problem:
        raise Transient(VALUES_ERROR, problem.failures) from problem


async def values_of(obj: Mapping[str, Any], references: References) -> values.Values:
    """`valuesFrom` in its order, then `values`; what has a `targetPath` is set over both. Raises `ValuesProblem`."""
    spec, namespace = obj["spec"], str(obj["metadata"]["namespace"])
    given: values.Values = spec.get("values") or {}
    found: values.Values = {}
    for entry in spec.get("valuesFrom") or []:
        text = await _text(entry, namespace, references)
        if text is None:
            continue
        where = f"{entry['kind']} '{namespace}/{entry['name']}' with key '{_key(entry)}'"
        try:
            if path := str(entry.get("targetPath") or ""):
                found = await asyncio.to_thread(_assigned, values.merged(found, given), entry, path, text)
            else:
                found = values.merged(found, await apart(values.parsed, text, where))
        except strvals.InvalidPath as problem:
            words = f"{where} cannot be put at '{entry.get('targetPath')}': {problem}"
            raise ValuesProblem(words, "correct targetPath or the value") from None
        except Problem as problem:
            raise ValuesProblem(problem.failures[0].message, problem.failures[0].next_step) from problem
        _few(found)
    result = values.merged(found, given)
    _few(result)
    return result


def _few(found: values.Values) -> None:
    if values.more_than(HELM_VALUES, found):
        step = "hand large content over as text, or by a ConfigMap of its own"
        raise ValuesProblem(f"more than {HELM_VALUES:,} values", step)


def _assigned(found: values.Values, entry: Mapping[str, Any], path: str, text: str) -> values.Values:
    """With the text at the path, in lists and mappings of its own. Raises `strvals.InvalidPath`."""
    import copy

    found = copy.deepcopy(found)
    (strvals.assign_literal if entry.get("literal") else strvals.assign)(found, path, text)
    return found


def _key(entry: Mapping[str, Any]) -> str:
    return str(entry.get("valuesKey") or DEFAULT_KEY)


async def _text(entry: Mapping[str, Any], namespace: str, references: References) -> str | None:
    """What the key holds; None when it is optional and absent."""
    name, kind = str(entry["name"]), str(entry["kind"])
    read = references.secret if kind == "Secret" else references.config_map
    data = await read(namespace, name)
    full = f"'{namespace}/{name}'"
    if data is not None and _key(entry) in data:
        return data[_key(entry)].decode(errors="replace")
    if entry.get("optional"):
        return None
    what = f"could not resolve {kind} chart values reference {full} with key '{_key(entry)}'"
    if data is None:
        raise ValuesProblem(f"{what}: {kind} {full} not found", "create it, or set optional")
    has = ", ".join(sorted(data)) or "no keys"
    raise ValuesProblem(f"{what}: key not found", f"it has {has}; correct valuesKey, or set optional")
