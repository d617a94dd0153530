"""Which cluster does a Kustomization or HelmRelease apply to, and as whom (KC-23, KC-24, HR-11, CM-14..16)?"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from fluxless.api import reasons
from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.api.kinds import Kind
from fluxless.apply.census import Census
from fluxless.kube.connect import RESOURCE_ID, Brought, Minted, Named
from fluxless.reconcile.accounts import account_of, user_of
from fluxless.reconcile.errors import Stalled, Transient
from fluxless.reconcile.run import Run
from fluxless.reconcile.services import Services
from fluxless.reconcile.survey import Survey
from fluxless.reconcile.tokens import service_account_token, workload

KEYS = ("value", "value.yaml")
"""Where a Secret holds its kubeconfig unless the spec names the key (CM-15)."""


class TargetRun(Run):
    """A run over an object that applies others."""

    def __init__(self, kind: Kind, obj: dict[str, Any], survey: Survey, services: Services) -> None:
        super().__init__(kind, obj, survey, services)
        self.local = survey.cluster
        """This cluster, as the tenant: `open_target` sets it."""
        self.target = survey.cluster
        """Where objects are applied, as the tenant: `open_target` sets it."""
        self.as_app = survey.cluster
        """The same cluster, as the app itself; only for looks that tell the tenant nothing."""

    @property
    def census(self) -> Census:
        """What lives in the target."""
        return self.survey.census(self.target)


async def open_target(run: TargetRun) -> None:
    """Set `run.local` and `run.target`. Ready=False ReconciliationFailed when the cluster cannot be opened."""
    user = account(run)
    run.local = run.cluster.impersonating(user) if user else run.cluster
    wanted = run.spec.get("kubeConfig")
    if not wanted:
        run.target, run.as_app = run.local, run.cluster
        return
    try:
        remote = await run.services.remotes.get(await chosen_cluster(run, wanted), run)
    except Stalled:
        raise
    except Problem as problem:
        raise Transient(reasons.RECONCILIATION_FAILED, problem.failures) from problem
    run.target, run.as_app = (remote.impersonating(user) if user else remote), remote


def account(run: TargetRun) -> str:
    """The user name of the service account that is impersonated, or empty: own field first, then the app setting."""
    return user_of(run.obj, run.services.settings.default_service_account)


async def _is_account(run: TargetRun, name: str) -> bool:
    """Whether the namespace has this service account; no name needs none."""
    resource = await run.cluster.resource("v1", "ServiceAccount")
    return not name or await run.cluster.get(resource, name, run.ref.namespace) is not None


async def missing(run: TargetRun) -> str:
    """What leads to the target and is not there any more, in words; empty when all of it is. Without it nothing can be
    deleted, and when the namespace goes nobody brings it back (KC-92, HR-77). Raises `ApiProblem`.
    """
    namespace, wanted = run.ref.namespace, run.spec.get("kubeConfig") or {}
    references, account = run.survey.references(run.cluster), ""
    if secret := wanted.get("secretRef"):
        if await references.secret(namespace, str(secret["name"])) is None:
            return f"Secret {namespace}/{secret['name']} not found"
    elif described := wanted.get("configMapRef"):
        data = await references.config_map(namespace, str(described["name"]))
        if data is None:
            return f"ConfigMap {namespace}/{described['name']} not found"
        said = data.get("serviceAccountName", b"").decode(errors="replace")
        account = said or run.services.settings.default_kubeconfig_service_account
    else:
        account = account_of(run.obj, run.services.settings.default_service_account)
    return "" if await _is_account(run, account) else f"service account {namespace}/{account} not found"


async def explained(run: TargetRun, failures: Iterable[Failure]) -> list[Failure]:
    """The failures, where what is forbidden is so because there is no such account with its own next step."""
    found = list(failures)
    name = account_of(run.obj, run.services.settings.default_service_account)
    forbidden = any(failure.cls is FailureClass.FORBIDDEN for failure in found)
    if not forbidden or run.spec.get("kubeConfig") or await _is_account(run, name):
        return found
    step = (
        f"there is no service account {run.ref.namespace}/{name}: spec.serviceAccountName names one of the "
        "object's own namespace; create it there, or move the object to the account"
    )
    return [replace(failure, next_step=step) if failure.cls is FailureClass.FORBIDDEN else failure for failure in found]


async def chosen_cluster(run: TargetRun, wanted: Mapping[str, Any]) -> Brought | Minted | Named:
    """The cluster of a `spec.kubeConfig`, and who opens it, which is not done yet. Raises `Problem`, `Stalled`."""
    if secret := wanted.get("secretRef"):
        return await _from_secret(run, str(secret["name"]), str(secret.get("key") or ""))
    name = str(wanted["configMapRef"]["name"])
    data = await run.survey.references(run.cluster).config_map(run.ref.namespace, name)
    if data is None:
        raise _missing(run, f"ConfigMap {run.ref.namespace}/{name} not found")
    return await _from_config_map(run, name, {key: value.decode(errors="replace") for key, value in data.items()})


async def _from_secret(run: TargetRun, name: str, key: str) -> Brought:
    """The cluster of a kubeconfig in a Secret (CM-15). One that runs programs is refused, and one that skips the check
    of certificates is overruled.
    """
    data = await run.survey.references(run.cluster).secret(run.ref.namespace, name)
    if data is None:
        raise _missing(run, f"Secret {run.ref.namespace}/{name} not found")
    found = next((data[candidate] for candidate in ((key,) if key else KEYS) if candidate in data), None)
    if found is None:
        raise _missing(run, f"Secret {run.ref.namespace}/{name} has no key {key or ' or '.join(KEYS)}")
    return Brought(f"{run.cluster.name}/{run.ref.namespace}/{name}", found.decode(errors="replace"))


async def _from_config_map(run: TargetRun, name: str, data: Mapping[str, str]) -> Minted | Named:
    """The cluster that a ConfigMap describes (CM-16), opened by an identity in Entra or a service account."""
    label, provider = f"{run.cluster.name}/{run.ref.namespace}/{name}", data.get("provider", "")
    account = data.get("serviceAccountName") or run.services.settings.default_kubeconfig_service_account
    if provider == "azure":
        if not RESOURCE_ID.match(data.get("cluster", "")):
            raise _stalled(run, f"ConfigMap {name}: cluster is not the resource id of a managed cluster")
        return await _azure(run, label, data["cluster"], account)
    if provider == "generic":
        if not data.get("address"):
            raise _stalled(run, f"ConfigMap {name}: provider generic needs an address")
        return _generic(run, label, data, account or "default")
    raise _stalled(run, f"ConfigMap {name}: provider {provider!r} is not supported; use azure or generic")


async def _azure(run: TargetRun, label: str, resource_id: str, account: str) -> Named:
    """As the identity of an account of the namespace (AZ-2, AZ-13), else as the app where it may."""
    if not account:
        return run.services.remotes.as_app(run.cluster.name, label, resource_id)
    if not run.services.settings.object_level_identity:
        text = "to use serviceAccountName in a kubeConfig's ConfigMap, FLUXLESS_OBJECT_LEVEL_IDENTITY must be true"
        step = "set this app setting, or leave serviceAccountName out"
        failure = Failure(FailureClass.FORBIDDEN, text, str(run.ref), next_step=step)
        raise Stalled(reasons.FEATURE_GATE_DISABLED, failure)
    own = await workload(run.cluster, run.ref.namespace, account)
    return Named(label, resource_id, own.who, own.identity)


def _generic(run: TargetRun, label: str, data: Mapping[str, str], name: str) -> Minted:
    """A kubeconfig with a token of a service account of ours, made for the audiences that the other cluster wants."""
    own, namespace = run.cluster, run.ref.namespace
    audiences = [line.strip() for line in data.get("audiences", "").splitlines() if line.strip()] or [data["address"]]
    cluster: dict[str, str] = {"server": data["address"]}
    if data.get("ca.crt"):
        cluster["certificate-authority-data"] = base64.b64encode(data["ca.crt"].encode()).decode()

    async def kubeconfig() -> str:
        token = await service_account_token(own, namespace, name, audiences)
        return json.dumps(
            {
                "clusters": [{"name": "remote", "cluster": cluster}],
                "users": [{"name": "remote", "user": {"token": token}}],
                "contexts": [{"name": "remote", "context": {"cluster": "remote", "user": "remote"}}],
                "current-context": "remote",
            }
        )

    return Minted(label, json.dumps([name, audiences, cluster]), kubeconfig)


def _missing(run: TargetRun, text: str) -> Problem:
    step = "create it in the namespace of the object, or correct spec.kubeConfig"
    return Problem(Failure(FailureClass.SOURCE_AUTH, text, str(run.ref), next_step=step))


def _stalled(run: TargetRun, text: str) -> Stalled:
    failure = Failure(FailureClass.VALIDATION, text, str(run.ref), next_step="correct the ConfigMap, then reconcile")
    return Stalled(reasons.RECONCILIATION_FAILED, failure)
