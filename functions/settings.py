"""The app settings: one table, from which the composition root reads and against which the documentation is checked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fluxless.api.failure import Failure, FailureClass, Problem

if TYPE_CHECKING:
    from fluxless.reconcile.services import Settings

PREFIX = "FLUXLESS_"


@dataclass(frozen=True, slots=True)
class AppSetting:
    """One setting; `default` as users would write it, empty for none."""

    name: str
    default: str = ""

    def read(self) -> str:
        """What the environment says, where Functions puts app settings; the default for an empty one."""
        return os.environ.get(self.name, "").strip() or self.default

    def on(self) -> bool:
        """A switch. Raises `Problem` for anything but true and false."""
        text = self.read().lower()
        if text not in {"true", "false"}:
            raise self.wrong("is neither true nor false", "write true or false")
        return text == "true"

    def wrong(self, words: str, next_step: str) -> Problem:
        """The error of a value that cannot be used: better at the start than in the middle of a run."""
        message = f"{self.name} {self.read()!r} {words}"
        return Problem(Failure(FailureClass.VALIDATION, message, next_step=next_step))


CLUSTERS = AppSetting("FLUXLESS_CLUSTERS")
BLOB_ACCOUNT_URL = AppSetting("FLUXLESS_BLOB_ACCOUNT_URL")
BLOB_CONNECTION = AppSetting("FLUXLESS_BLOB_CONNECTION")
BLOB_CONTAINER = AppSetting("FLUXLESS_BLOB_CONTAINER", "fluxless")
IDENTITY_CLIENT_ID = AppSetting("FLUXLESS_IDENTITY_CLIENT_ID")
GITHUB_WEBHOOK_SECRET = AppSetting("FLUXLESS_GITHUB_WEBHOOK_SECRET")
GITLAB_WEBHOOK_SECRET = AppSetting("FLUXLESS_GITLAB_WEBHOOK_SECRET")
AZUREDEVOPS_WEBHOOK_SECRET = AppSetting("FLUXLESS_AZUREDEVOPS_WEBHOOK_SECRET")
ACR_WEBHOOK_SECRET = AppSetting("FLUXLESS_ACR_WEBHOOK_SECRET")
EVENTGRID_ISSUER = AppSetting("FLUXLESS_EVENTGRID_ISSUER")
EVENTGRID_AUDIENCE = AppSetting("FLUXLESS_EVENTGRID_AUDIENCE")
EVENTGRID_CALLER = AppSetting("FLUXLESS_EVENTGRID_CALLER", "4962773b-9cdb-44cf-a8bf-237846a00ab7")
EVENTS_QUEUE = AppSetting("FLUXLESS_EVENTS_QUEUE")
PUSH_SECRET = AppSetting("FLUXLESS_PUSH_SECRET")
TIMER = AppSetting("FLUXLESS_TIMER", "*/30 * * * * *")
TASK_HUB = AppSetting("FLUXLESS_TASK_HUB")
ARTIFACT_BASE_URL = AppSetting("FLUXLESS_ARTIFACT_BASE_URL")
DEFAULT_SERVICE_ACCOUNT = AppSetting("FLUXLESS_DEFAULT_SERVICE_ACCOUNT")
WATCH_LABEL_SELECTOR = AppSetting("FLUXLESS_WATCH_LABEL_SELECTOR")
ADDITIVE_READY_EXPR = AppSetting("FLUXLESS_ADDITIVE_READY_EXPR", "false")
FAIL_FAST = AppSetting("FLUXLESS_FAIL_FAST", "true")
NO_CROSS_NAMESPACE_REFS = AppSetting("FLUXLESS_NO_CROSS_NAMESPACE_REFS", "false")
PRUNE_LIMIT = AppSetting("FLUXLESS_PRUNE_LIMIT")
DRIFT_MODE = AppSetting("FLUXLESS_DRIFT_MODE", "correct")
REMOTE_BASES = AppSetting("FLUXLESS_REMOTE_BASES", "false")
OVERRIDE_MANAGERS = AppSetting("FLUXLESS_OVERRIDE_MANAGERS")
HELM_GATES = AppSetting("FLUXLESS_HELM_GATES")
RETRY_EXHAUSTED = AppSetting("FLUXLESS_RETRY_EXHAUSTED")
CUSTOM_STAGE_KINDS = AppSetting("FLUXLESS_CUSTOM_STAGE_KINDS")
SOPS_AGE_SECRET = AppSetting("FLUXLESS_SOPS_AGE_SECRET")
OBJECT_LEVEL_IDENTITY = AppSetting("FLUXLESS_OBJECT_LEVEL_IDENTITY", "false")
EXTERNAL_ARTIFACTS = AppSetting("FLUXLESS_EXTERNAL_ARTIFACTS", "false")
ACR_SUFFIXES = AppSetting("FLUXLESS_ACR_SUFFIXES", ".azurecr.io,.azurecr.cn,.azurecr.de,.azurecr.us")
CACHE_FOLDER = AppSetting("FLUXLESS_CACHE_FOLDER")
KUSTOMIZE = AppSetting("FLUXLESS_KUSTOMIZE")
SOPS = AppSetting("FLUXLESS_SOPS")
NOTATION = AppSetting("FLUXLESS_NOTATION")
HELM = AppSetting("FLUXLESS_HELM")

ALL = tuple(value for value in tuple(globals().values()) if isinstance(value, AppSetting))


def reconciliation() -> Settings:
    """The settings that change how objects are reconciled. Raises `Problem` naming a setting that cannot be used."""
    from fluxless.reconcile.services import Settings

    blob = BLOB_ACCOUNT_URL.read()
    base = ARTIFACT_BASE_URL.read() or (blob and f"{blob}/artifacts") or Settings().artifact_base_url
    return Settings(
        artifact_base_url=base,
        no_cross_namespace_refs=NO_CROSS_NAMESPACE_REFS.on(),
        watch_selector=_watch_selector(),
        fail_fast=FAIL_FAST.on(),
        additive_expressions=ADDITIVE_READY_EXPR.on(),
        default_service_account=DEFAULT_SERVICE_ACCOUNT.read(),
        prune_limit=_prune_limit(),
        report_drift=_report_drift(),
        remote_bases=REMOTE_BASES.on(),
        override_managers=tuple(name.strip() for name in OVERRIDE_MANAGERS.read().split(",") if name.strip()),
        helm_gates=_helm_gates(),
        retry_exhausted=_retry_exhausted(),
        custom_stage_kinds=_custom_stage_kinds(),
        sops_age_secret=_sops_age_secret(),
        object_level_identity=OBJECT_LEVEL_IDENTITY.on(),
        identity_client_id=IDENTITY_CLIENT_ID.read(),
        acr_suffixes=tuple(suffix.strip() for suffix in ACR_SUFFIXES.read().split(",") if suffix.strip()),
    )


def _watch_selector() -> str:
    from fluxless.api.selector import selects

    text = WATCH_LABEL_SELECTOR.read()
    try:
        selects(text, {})
    except ValueError:
        step = "write it like sharding.fluxcd.io/key=shard1 or !sharding.fluxcd.io/key"
        raise WATCH_LABEL_SELECTOR.wrong("is no label selector", step) from None
    return text


def _prune_limit() -> str:
    from fluxless.kustomize.prune_guard import Limit

    text = PRUNE_LIMIT.read()
    try:
        Limit.parse(text)
    except ValueError:
        raise PRUNE_LIMIT.wrong("is neither a number nor a percentage", "write it like 20 or 30%") from None
    return text


def _report_drift() -> bool:
    if DRIFT_MODE.read() not in {"correct", "report"}:
        raise DRIFT_MODE.wrong("is no mode", "write correct or report")
    return DRIFT_MODE.read() == "report"


def _custom_stage_kinds() -> tuple[tuple[str, str], ...]:
    """`group/Kind` with commas between, as Flux's `--custom-apply-stage-kinds`; the core group has an empty name."""
    entries = [entry.strip() for entry in CUSTOM_STAGE_KINDS.read().split(",") if entry.strip()]
    if any(entry.count("/") != 1 or entry.endswith("/") for entry in entries):
        raise CUSTOM_STAGE_KINDS.wrong("is no list of kinds", "write it like rbac.authorization.k8s.io/Role,/Secret")
    return tuple((group, kind) for group, _, kind in (entry.partition("/") for entry in entries))


def _helm_gates() -> frozenset[str]:
    """Names with commas between, as in Flux's `--feature-gates`, where `=true` may follow each."""
    from fluxless.helm.gates import GATES

    names = {entry.strip().removesuffix("=true") for entry in HELM_GATES.read().split(",") if entry.strip()}
    if unknown := names - GATES:
        raise HELM_GATES.wrong(f"has no gate {sorted(unknown)[0]}", f"known are {', '.join(sorted(GATES))}")
    return frozenset(names)


def _retry_exhausted() -> float:
    from fluxless.api.duration import parse_duration

    text = RETRY_EXHAUSTED.read()
    try:
        return parse_duration(text) if text else 0.0
    except ValueError:
        raise RETRY_EXHAUSTED.wrong("is no duration", "write it like 1h") from None


def _sops_age_secret() -> str:
    text = SOPS_AGE_SECRET.read()
    if text and (text.count("/") != 1 or not all(text.split("/"))):
        raise SOPS_AGE_SECRET.wrong("names no Secret", "write it like flux-system/sops-age")
    return text
