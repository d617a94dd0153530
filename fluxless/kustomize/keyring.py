"""Which keys decrypt a Kustomization (KC-21, KC-22, KC-99): of its Secret, of the app, or an identity of its own."""

from __future__ import annotations

from dataclasses import replace

from fluxless.api import reasons
from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.auth.door import Gives
from fluxless.auth.identity import Identity, of_secret, of_sources
from fluxless.kustomize.decryption import Decryption
from fluxless.kustomize.run import KustomizationRun
from fluxless.reconcile.errors import Stalled, Transient
from fluxless.reconcile.tokens import workload
from fluxless.render.keys import Keys


async def read_keys(run: KustomizationRun) -> None:
    """Set `run.decryption`. Ready=False BuildFailed when there are no keys, FeatureGateDisabled for an identity."""
    wanted = run.spec.get("decryption")
    if not wanted:
        return
    account = str(wanted.get("serviceAccountName") or "")
    if account and not run.services.settings.object_level_identity:
        text = "to use spec.decryption.serviceAccountName the app setting FLUXLESS_OBJECT_LEVEL_IDENTITY must be true"
        raise Stalled(reasons.FEATURE_GATE_DISABLED, Failure(FailureClass.FORBIDDEN, text, str(run.ref)))
    secret = str((wanted.get("secretRef") or {}).get("name") or "")
    try:
        keys = await _of_secret(run, secret) if secret else Keys()
        gives, who = await _identity(run, keys, account)
        run.decryption = Decryption(replace(keys, gives=gives, who=who).with_age(await _of_app(run)))
    except Problem as problem:
        raise Transient(reasons.BUILD_FAILED, problem.failures) from problem
    run.inputs = run.digest(run.inputs + run.decryption.keys.fingerprint)


async def _identity(run: KustomizationRun, keys: Keys, account: str) -> tuple[Gives, str]:
    """Who opens a Key Vault, asked once there is one to open, and what stands for that: of the Secret, of an account of
    the namespace, else the app.
    """
    settings = run.services.settings

    async def of_principal() -> Identity:
        try:
            found = of_secret(keys.principal, settings.ruling_identities)
        except ValueError as error:
            raise Problem(Failure(FailureClass.DECRYPT, f"the key sops.azure-kv {error}", str(run.ref))) from None
        assert found is not None  # noqa: S101  (it has a clientId)
        return found

    async def of_default() -> Identity:
        return await (await workload(run.cluster, run.ref.namespace, default)).identity()

    async def of_app() -> Identity:
        return of_sources(settings.identity_client_id)

    if keys.principal:
        return of_principal, ""
    if account:
        own = await workload(run.local, run.ref.namespace, account)
        return own.identity, own.who
    if default := settings.default_decryption_service_account:
        return of_default, f"{run.cluster.name}/{run.ref.namespace}/{default}"
    return of_app, ""


async def _of_secret(run: KustomizationRun, name: str) -> Keys:
    data = await run.survey.references(run.local).secret(run.ref.namespace, name)
    if data is None:
        step = "create the Secret, or correct spec.decryption.secretRef"
        text = f"secret '{run.ref.namespace}/{name}' not found"
        raise Problem(Failure(FailureClass.DECRYPT, text, str(run.ref), next_step=step))
    return Keys.of_secret(data, f"{run.ref.namespace}/{name}")


async def _of_app(run: KustomizationRun) -> str:
    """The age identities that every Kustomization of the cluster may use (Flux's `--sops-age-secret`)."""
    setting = run.services.settings.sops_age_secret
    if not setting:
        return ""
    namespace, _, name = setting.partition("/")
    data = await run.survey.references(run.cluster).secret(namespace, name)
    if data is None:
        step = "create the Secret, or correct the app setting"
        text = f"secret '{setting}' of FLUXLESS_SOPS_AGE_SECRET not found"
        raise Problem(Failure(FailureClass.DECRYPT, text, str(run.ref), next_step=step))
    return Keys.of_secret({key: value for key, value in data.items() if key.endswith(".agekey")}, setting).age
