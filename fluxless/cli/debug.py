"""`fluxless debug`: status, history, and the variables or values of one object, as the engine sees them.

Variables and values are printed in plain: that is what the command is for.
"""

from __future__ import annotations

from fluxless.api.kinds import HELM_RELEASE, KUSTOMIZATION, Kind
from fluxless.cli.change import find
from fluxless.cli.session import wrong
from fluxless.go_yaml import WIDE, dump
from fluxless.helm.compose import values_of
from fluxless.kube.client import Cluster
from fluxless.kustomize.inputs import variables_of
from fluxless.reconcile.secrets import References


async def status(cluster: Cluster, namespace: str, name: str, kind: Kind = KUSTOMIZATION) -> str:
    """The status, as YAML."""
    found = await find(cluster, kind, namespace, name)
    return dump(found.get("status") or {}, width=WIDE)


async def history(cluster: Cluster, namespace: str, name: str, kind: Kind = KUSTOMIZATION) -> str:
    """What was applied lately, as YAML, the newest first."""
    found = await find(cluster, kind, namespace, name)
    return dump((found.get("status") or {}).get("history") or [], width=WIDE)


async def variables(cluster: Cluster, namespace: str, name: str) -> str:
    """The final variables, a line `NAME=value` each. Raises `Problem` when there are none to be had."""
    found = await find(cluster, KUSTOMIZATION, namespace, name)
    if not found["spec"].get("postBuild"):
        raise wrong("no post build substitutions found", "it has no spec.postBuild")
    merged = await variables_of(found, References(cluster))
    return "".join(f"{key}={value}\n" for key, value in sorted(merged.items()))


async def values(cluster: Cluster, namespace: str, name: str) -> str:
    """The final values of a HelmRelease, as YAML. Raises `Problem`."""
    found = await find(cluster, HELM_RELEASE, namespace, name)
    return dump(await values_of(found, References(cluster)), width=WIDE)


def one_of(**asked: bool) -> str:
    """The one flag that was given. Raises `Problem` unless it is exactly one."""
    given = [name for name, on in asked.items() if on]
    if len(given) != 1:
        names = ", ".join(f"--show-{name}" for name in asked)
        raise wrong(f"exactly one of {names} must be given")
    return given[0]
