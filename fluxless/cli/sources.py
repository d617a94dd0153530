"""`fluxless create source …` and `create receiver`: from Flux's flags to objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fluxless.api.kinds import BUCKET, GIT_REPOSITORY, HELM_CHART, HELM_REPOSITORY, OCI_REPOSITORY, RECEIVER
from fluxless.api.notification import KINDS as RECEIVED
from fluxless.api.notification import TYPES
from fluxless.cli.create import built
from fluxless.cli.session import wrong

Obj = dict[str, Any]


def _ref(name: str) -> Obj | None:
    return {"name": name} if name else None


def _ignore(paths: tuple[str, ...]) -> str:
    return "".join(f"{path}\n" for path in paths)


def git(
    name: str, namespace: str, marks: tuple[str, ...], *, url: str, interval: str, reference: Obj, **more: Any
) -> Obj:
    """A GitRepository. Raises `Problem` naming the flag that cannot be used."""
    if not url:
        raise wrong("url is required", "give --url")
    if not url.startswith(("http://", "https://", "ssh://")):
        raise wrong(f"git URL scheme '{url.partition('://')[0]}' not supported", "use ssh, http or https")
    if not any(reference.values()):
        raise wrong("a Git ref is required", "use one of --branch, --tag, --commit, --ref-name or --tag-semver")
    ref = {key: value for key, value in reference.items() if value}
    spec = {
        "url": url,
        "interval": interval,
        "ref": ref,
        "provider": more.get("provider"),
        "secretRef": _ref(more.get("secret", "")),
        "proxySecretRef": _ref(more.get("proxy", "")),
        "recurseSubmodules": more.get("recurse"),
        "sparseCheckout": list(more.get("sparse", ())),
        "ignore": _ignore(more.get("ignore", ())),
    }
    return built(GIT_REPOSITORY, name, namespace, spec, marks)


def oci(
    name: str, namespace: str, marks: tuple[str, ...], *, url: str, interval: str, reference: Obj, **more: Any
) -> Obj:
    """An OCIRepository. Raises `Problem` naming the flag that cannot be used."""
    if not url:
        raise wrong("url is required", "give --url=oci://…")
    if not any(reference.values()):
        raise wrong("--tag, --tag-semver or --digest is required", "give one of them")
    layer, _, operation = str(more.get("layer", "")).rpartition(":")
    if more.get("layer") and (not layer or operation not in {"extract", "copy"}):
        step = "write it like application/vnd.example.content:extract"
        raise wrong(f"--layer-selector '{more['layer']}' is not understood", step)
    spec = {
        "url": url,
        "interval": interval,
        "ref": {key: value for key, value in reference.items() if value},
        "provider": more.get("provider"),
        "secretRef": _ref(more.get("secret", "")),
        "serviceAccountName": more.get("account"),
        "certSecretRef": _ref(more.get("certificate", "")),
        "proxySecretRef": _ref(more.get("proxy", "")),
        "insecure": more.get("insecure"),
        "layerSelector": {"mediaType": layer, "operation": operation} if layer else None,
        "verify": verification(more),
        "ignore": _ignore(more.get("ignore", ())),
    }
    return built(OCI_REPOSITORY, name, namespace, spec, marks)


def verification(flags: Mapping[str, Any]) -> Obj | None:
    """`spec.verify` of the --verify-… flags. Raises `Problem`."""
    provider, secret = flags.get("verify_provider"), flags.get("verify_secret")
    issuer, subject = flags.get("verify_issuer"), flags.get("verify_subject")
    if not provider:
        if secret or issuer or subject:
            raise wrong("--verify-provider must be set when a signature is to be verified", "use cosign or notation")
        return None
    found: Obj = {"provider": provider}
    if secret:
        found["secretRef"] = {"name": secret}
    if issuer or subject:
        found["matchOIDCIdentity"] = [{"issuer": issuer or "", "subject": subject or ""}]
    return found


def bucket(name: str, namespace: str, marks: tuple[str, ...], **flags: Any) -> Obj:
    """A Bucket. Raises `Problem` naming the flag that cannot be used."""
    for flag in ("bucket_name", "endpoint"):
        if not flags.get(flag):
            raise wrong(f"{flag.replace('_', '-')} is required", f"give --{flag.replace('_', '-')}")
    spec = {
        "bucketName": flags["bucket_name"],
        "endpoint": flags["endpoint"],
        "interval": flags["interval"],
        "provider": flags.get("provider"),
        "region": flags.get("region"),
        "insecure": flags.get("insecure"),
        "secretRef": _ref(flags.get("secret", "")),
        "proxySecretRef": _ref(flags.get("proxy", "")),
        "ignore": _ignore(flags.get("ignore", ())),
    }
    return built(BUCKET, name, namespace, spec, marks)


def helm(name: str, namespace: str, marks: tuple[str, ...], **flags: Any) -> Obj:
    """A HelmRepository. Raises `Problem` naming the flag that cannot be used."""
    url = str(flags.get("url") or "")
    if not url.startswith(("http://", "https://", "oci://")):
        raise wrong(
            "url is required" if not url else f"url '{url}' is not understood", "give an http, https or oci URL"
        )
    spec = {
        "url": url,
        "interval": flags["interval"],
        "type": "oci" if url.startswith("oci://") else None,
        "provider": flags.get("provider"),
        "secretRef": _ref(flags.get("secret", "")),
        "passCredentials": flags.get("pass_credentials"),
    }
    return built(HELM_REPOSITORY, name, namespace, spec, marks)


def chart(name: str, namespace: str, marks: tuple[str, ...], **flags: Any) -> Obj:
    """A HelmChart. Raises `Problem` naming the flag that cannot be used."""
    kind, _, source = str(flags.get("source") or "").partition("/")
    kinds = {known.kind.lower(): known.kind for known in (HELM_REPOSITORY, GIT_REPOSITORY, BUCKET)}
    if not source or kind.lower() not in kinds:
        step = f"write it like HelmRepository/name; kinds are {', '.join(sorted(kinds.values()))}"
        raise wrong("chart source is required" if not source else f"source kind '{kind}' is not supported", step)
    if not flags.get("chart"):
        raise wrong("chart name or path is required", "give --chart")
    spec = {
        "chart": flags["chart"],
        "version": flags.get("version"),
        "interval": flags["interval"],
        "sourceRef": {"kind": kinds[kind.lower()], "name": source},
        "reconcileStrategy": flags.get("strategy"),
        "verify": verification(flags),
    }
    return built(HELM_CHART, name, namespace, spec, marks)


def receiver(name: str, namespace: str, marks: tuple[str, ...], **flags: Any) -> Obj:
    """A Receiver. Raises `Problem` naming the flag that cannot be used."""
    kind, secret, resources = str(flags.get("type") or ""), str(flags.get("secret") or ""), flags.get("resources") or ()
    if kind not in TYPES:
        raise wrong("Receiver type is required" if not kind else f"type '{kind}' is unknown", f"use {', '.join(TYPES)}")
    if not secret and kind != "generic-oidc":
        raise wrong("secret ref is required", "give --secret-ref")
    if not resources:
        raise wrong("at least one resource is required", "give --resource=<kind>/<name>")
    spec = {
        "type": kind,
        "events": list(flags.get("events") or ()),
        "secretRef": _ref(secret),
        "resources": [_resource(text) for text in resources],
    }
    return built(RECEIVER, name, namespace, spec, marks)


def _resource(text: str) -> Obj:
    kind, _, rest = text.partition("/")
    name, _, namespace = rest.partition(".")
    kinds = {known.lower(): known for known in RECEIVED}
    if not name or kind.lower() not in kinds:
        raise wrong(f"resource '{text}' is not understood", "write it like GitRepository/app or GitRepository/app.apps")
    return {"kind": kinds[kind.lower()], "name": name} | ({"namespace": namespace} if namespace else {})
