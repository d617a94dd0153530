"""`fluxless create helmrelease`: a HelmRelease from Flux's flags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fluxless.api.failure import Problem
from fluxless.api.kinds import HELM_RELEASE
from fluxless.cli.create import Obj, built
from fluxless.cli.session import wrong
from fluxless.helm.values import Values, merged, parsed

SOURCES = {kind.lower(): kind for kind in ("HelmRepository", "GitRepository", "Bucket")}
REFERENCES = {kind.lower(): kind for kind in ("OCIRepository", "HelmChart", "ExternalArtifact")}
VALUES = {kind.lower(): kind for kind in ("ConfigMap", "Secret")}


def release(name: str, namespace: str, marks: tuple[str, ...], **flags: Any) -> Obj:
    """The object. Raises `Problem` naming the flag that cannot be used."""
    spec: Obj = {
        "interval": flags["interval"],
        "timeout": flags.get("timeout"),
        "releaseName": flags.get("release_name"),
        "targetNamespace": flags.get("target_namespace"),
        "storageNamespace": flags.get("storage_namespace"),
        "serviceAccountName": flags.get("service_account"),
        "dependsOn": [_named(entry) for entry in flags.get("depends_on") or ()],
        "values": _values(flags.get("values") or ()),
        "valuesFrom": [_values_from(entry) for entry in flags.get("values_from") or ()],
        **_chart(flags),
    }
    install = {"createNamespace": True} if flags.get("create_namespace") else {}
    if policy := flags.get("crds"):
        install["crds"] = policy
        spec["upgrade"] = {"crds": policy}
    if secret := flags.get("kubeconfig_secret"):
        spec["kubeConfig"] = {"secretRef": {"name": secret}}
    return built(HELM_RELEASE, name, namespace, {**spec, "install": install}, marks)


def _chart(flags: dict[str, Any]) -> Obj:
    """One of `--chart` with `--source`, and `--chart-ref`."""
    chart, reference = flags.get("chart"), flags.get("chart_ref")
    if bool(chart) == bool(reference):
        raise wrong("chart or chart-ref is required", "give --source and --chart, or --chart-ref")
    if reference:
        return {"chartRef": _kinded(str(reference), REFERENCES, "--chart-ref")}
    spec = {
        "chart": chart,
        "version": flags.get("chart_version"),
        "sourceRef": _kinded(str(flags.get("source") or ""), SOURCES, "--source"),
        "reconcileStrategy": flags.get("strategy"),
        "interval": flags.get("chart_interval"),
    }
    return {"chart": {"spec": {key: value for key, value in spec.items() if value}}}


def _kinded(text: str, kinds: dict[str, str], flag: str) -> Obj:
    """`kind/name` or `kind/name.namespace`."""
    kind, slash, rest = text.partition("/")
    if not slash or kind.lower() not in kinds:
        raise wrong(f"{flag} '{text}' is not supported", f"write it like kind/name; kinds: {', '.join(kinds.values())}")
    name, _, namespace = rest.partition(".")
    return {"kind": kinds[kind.lower()], "name": name, **({"namespace": namespace} if namespace else {})}


def _named(entry: str) -> Obj:
    """`name` or `namespace/name`."""
    namespace, _, name = entry.rpartition("/")
    return {"name": name, **({"namespace": namespace} if namespace else {})}


def _values_from(entry: str) -> Obj:
    """`kind/name` or `kind/name.key`."""
    kind, slash, rest = entry.partition("/")
    if not slash or kind.lower() not in VALUES:
        raise wrong(f"--values-from '{entry}' is not supported", "write it like Secret/name or ConfigMap/name.key")
    name, _, key = rest.partition(".")
    return {"kind": VALUES[kind.lower()], "name": name, **({"valuesKey": key} if key else {})}


def _values(files: tuple[Path, ...]) -> Values:
    """The files in their order, the later ones win."""
    found: Values = {}
    for path in files:
        try:
            found = merged(found, parsed(path.read_text(), str(path)))
        except (OSError, UnicodeDecodeError) as error:
            raise wrong(f"--values: {error}", "name a readable YAML file") from None
        except Problem as problem:
            raise wrong(f"--values: {problem.failures[0].message}", problem.failures[0].next_step) from None
    return found
