"""What the app settings say about reconciliation, checked at the start: better there than in the middle of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions import settings
from functions.settings import AppSetting, listed

if TYPE_CHECKING:
    from fluxless.reconcile.services import Settings


def read() -> Settings:
    """The settings that change how objects are reconciled. Raises `Problem` naming a setting that cannot be used."""
    from fluxless.reconcile.services import Settings

    blob = settings.BLOB_ACCOUNT_URL.read()
    base = settings.ARTIFACT_BASE_URL.read() or (blob and f"{blob}/artifacts") or Settings().artifact_base_url
    return Settings(
        artifact_base_url=base,
        no_cross_namespace_refs=settings.NO_CROSS_NAMESPACE_REFS.on(),
        watch_selector=_watch_selector(),
        fail_fast=settings.FAIL_FAST.on(),
        additive_expressions=settings.ADDITIVE_READY_EXPR.on(),
        default_service_account=settings.DEFAULT_SERVICE_ACCOUNT.read(),
        prune_limit=_prune_limit(),
        report_drift=_report_drift(),
        remote_bases=settings.REMOTE_BASES.on(),
        override_managers=tuple(listed(settings.OVERRIDE_MANAGERS.read())),
        helm_gates=_helm_gates(),
        retry_exhausted=_retry_exhausted(),
        custom_stage_kinds=_custom_stage_kinds(),
        sops_age_secret=_sops_age_secret(),
        object_level_identity=settings.OBJECT_LEVEL_IDENTITY.on(),
        identity_client_id=settings.IDENTITY_CLIENT_ID.read(),
        ruling_identities=_ruling_identities(),
        default_kubeconfig_service_account=_own_identity(settings.DEFAULT_KUBECONFIG_SERVICE_ACCOUNT),
        default_decryption_service_account=_own_identity(settings.DEFAULT_DECRYPTION_SERVICE_ACCOUNT),
    )


def _ruling_identities() -> frozenset[str]:
    """Client ids that no object may choose. Without an identity for sources, that of the app reads them as well."""
    from fluxless.auth.purposes import added
    from fluxless.kube.connect import read_clusters

    added()  # a wrong entry is told at the start
    sources = settings.SOURCE_IDENTITY_CLIENT_ID.read()
    given = {settings.IDENTITY_CLIENT_ID.read()} if sources else set()
    for config in read_clusters(settings.CLUSTERS.read()).values() if settings.CLUSTERS.read() else ():
        given |= {config.client_id, config.open_as}
    return frozenset(client.lower() for client in given if client and client != sources)


def _own_identity(setting: AppSetting) -> str:
    """An account that is federated with an identity: Flux refuses to start without the gate as well."""
    if setting.read() and not settings.OBJECT_LEVEL_IDENTITY.on():
        raise setting.wrong("needs the identities of objects", "set FLUXLESS_OBJECT_LEVEL_IDENTITY to true")
    return setting.read()


def trace_share() -> float:
    """The share of traces that are sent, 0 to 1. Raises `Problem`."""
    try:
        share = float(settings.TRACE_SHARE.read())
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise settings.TRACE_SHARE.wrong("is no share", "write it like 1 or 0.1")
    return share


def _watch_selector() -> str:
    from fluxless.api.selector import selects

    text = settings.WATCH_LABEL_SELECTOR.read()
    try:
        selects(text, {})
    except ValueError:
        step = "write it like sharding.fluxcd.io/key=shard1 or !sharding.fluxcd.io/key"
        raise settings.WATCH_LABEL_SELECTOR.wrong("is no label selector", step) from None
    return text


def _prune_limit() -> str:
    from fluxless.kustomize.prune_guard import Limit

    text = settings.PRUNE_LIMIT.read()
    try:
        Limit.parse(text)
    except ValueError:
        raise settings.PRUNE_LIMIT.wrong("is neither a number nor a percentage", "write it like 20 or 30%") from None
    return text


def _report_drift() -> bool:
    if settings.DRIFT_MODE.read() not in {"correct", "report"}:
        raise settings.DRIFT_MODE.wrong("is no mode", "write correct or report")
    return settings.DRIFT_MODE.read() == "report"


def _custom_stage_kinds() -> tuple[tuple[str, str], ...]:
    """`group/Kind` with commas between, as Flux's `--custom-apply-stage-kinds`; the core group has an empty name."""
    entries = listed(settings.CUSTOM_STAGE_KINDS.read())
    if any(entry.count("/") != 1 or entry.endswith("/") for entry in entries):
        step = "write it like rbac.authorization.k8s.io/Role,/Secret"
        raise settings.CUSTOM_STAGE_KINDS.wrong("is no list of kinds", step)
    return tuple((group, kind) for group, _, kind in (entry.partition("/") for entry in entries))


def _helm_gates() -> frozenset[str]:
    """Names with commas between, as in Flux's `--feature-gates`, where `=true` may follow each."""
    from fluxless.helm.gates import GATES

    names = {entry.removesuffix("=true") for entry in listed(settings.HELM_GATES.read())}
    if unknown := names - GATES:
        raise settings.HELM_GATES.wrong(f"has no gate {sorted(unknown)[0]}", f"known are {', '.join(sorted(GATES))}")
    return frozenset(names)


def _retry_exhausted() -> float:
    from fluxless.api.duration import parse_duration

    text = settings.RETRY_EXHAUSTED.read()
    try:
        return parse_duration(text) if text else 0.0
    except ValueError:
        raise settings.RETRY_EXHAUSTED.wrong("is no duration", "write it like 1h") from None


def _sops_age_secret() -> str:
    text = settings.SOPS_AGE_SECRET.read()
    if text and (text.count("/") != 1 or not all(text.split("/"))):
        raise settings.SOPS_AGE_SECRET.wrong("names no Secret", "write it like flux-system/sops-age")
    return text
