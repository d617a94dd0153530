"""What goes into a build besides the artifact: variables, read as the tenant; and the name of it all.

`run.inputs` names everything that decides what is applied and how: while it stays the same, nothing is built.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fluxless.api import reasons
from fluxless.kustomize.build import GENERATOR_FIELDS
from fluxless.kustomize.run import KustomizationRun
from fluxless.kustomize.variables import Reference, VariablesProblem, merge
from fluxless.reconcile.errors import Transient
from fluxless.reconcile.secrets import References

APPLY_FIELDS = (*GENERATOR_FIELDS, "commonMetadata", "postBuild", "force", "prune", "ignore")
"""Fields of the spec that decide what is applied and how; a change of any other needs no new apply."""


async def read_variables(run: KustomizationRun) -> None:
    """Collect the variables (KC-69) and name the inputs. Ready=False BuildFailed when one cannot be had."""
    try:
        run.variables = await variables_of(run.obj, run.survey.references(run.local))
    except VariablesProblem as problem:
        raise Transient(reasons.BUILD_FAILED, problem.failures) from problem
    spec = {name: run.spec[name] for name in APPLY_FIELDS if run.spec.get(name) is not None}
    text = json.dumps([run.artifact["digest"], spec, sorted(run.variables.items())], sort_keys=True)
    run.inputs = run.digest(text)


async def variables_of(obj: Mapping[str, Any], references: References) -> dict[str, str]:
    """The variables of a Kustomization, read from the cluster. Raises `VariablesProblem` or `ApiProblem`."""
    post_build, namespace = obj["spec"].get("postBuild") or {}, obj["metadata"]["namespace"]
    found: list[Reference] = []
    for ref in post_build.get("substituteFrom") or []:
        read = references.secret if ref["kind"] == "Secret" else references.config_map
        data = await read(namespace, ref["name"])
        found.append(Reference(ref["kind"], ref["name"], bool(ref.get("optional")), data))
    return merge(found, post_build.get("substitute") or {})
