"""The app settings: one table, from which the composition root reads and against which page and Bicep are checked."""

from __future__ import annotations

import os
from dataclasses import dataclass

from fluxless.api.failure import Failure, FailureClass, Problem


def listed(text: str) -> list[str]:
    """The entries of a list with commas between."""
    return [entry.strip() for entry in text.split(",") if entry.strip()]


@dataclass(frozen=True, slots=True)
class AppSetting:
    """One setting; `default` as users would write it, empty for none; `meaning` in Markdown, as the page says it."""

    name: str
    default: str
    meaning: str

    def read(self) -> str:
        """What the environment says, where Functions puts app settings; the default for an empty one. Raises `Problem`
        for a reference to a vault that was not resolved: its text, which anybody can guess, must not pass for a secret.
        """
        text = os.environ.get(self.name, "").strip()
        if text.startswith("@Microsoft.KeyVault("):
            words = f"{self.name} refers to a vault, and nobody has resolved it"
            step = "give the app's identity the role Key Vault Secrets User on the vault, and check the SecretUri"
            raise Problem(Failure(FailureClass.FORBIDDEN, words, next_step=step))
        return text or self.default

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


CLUSTERS = AppSetting(
    "FLUXLESS_CLUSTERS",
    "",
    (
        'required: JSON list of clusters: `[{"name": "prod", "resourceId": '
        '"/subscriptions/…/managedClusters/prod"}]`; instead of `resourceId` a `kubeconfig` (path of a file) or '
        "`kubeconfigInline` (its text); optional `clientId` of the identity to use for this cluster, `mayOpen`, a list "
        "of names or resource ids of clusters that its objects may open as the app by `kubeConfig.configMapRef`, and "
        "`openAs`, the client id of the identity that opens those"
    ),
)
BLOB_ACCOUNT_URL = AppSetting(
    "FLUXLESS_BLOB_ACCOUNT_URL",
    "",
    ("`https://<account>.blob.core.windows.net`, used with the app's identity (role Storage Blob Data Contributor)"),
)
BLOB_CONNECTION = AppSetting(
    "FLUXLESS_BLOB_CONNECTION",
    "",
    "a connection string, instead of the URL; for Azurite and tests",
)
BLOB_CONTAINER = AppSetting(
    "FLUXLESS_BLOB_CONTAINER",
    "fluxless",
    "the container; made when it does not exist",
)
IDENTITY_CLIENT_ID = AppSetting(
    "FLUXLESS_IDENTITY_CLIENT_ID",
    "",
    "client id of the user-assigned identity; empty means the system-assigned one",
)
SOURCE_IDENTITY_CLIENT_ID = AppSetting(
    "FLUXLESS_SOURCE_IDENTITY_CLIENT_ID",
    "",
    (
        "recommended: client id of a user-assigned identity that reads sources and opens vaults for objects, and has "
        "no right over clusters or the app's storage; empty means the app's own does"
    ),
)
GITHUB_WEBHOOK_SECRET = AppSetting(
    "FLUXLESS_GITHUB_WEBHOOK_SECRET",
    "",
    "the secret of GitHub webhooks; without it every delivery is refused",
)
GITLAB_WEBHOOK_SECRET = AppSetting(
    "FLUXLESS_GITLAB_WEBHOOK_SECRET",
    "",
    "the secret token of GitLab webhooks (`POST /api/hooks/gitlab`)",
)
AZUREDEVOPS_WEBHOOK_SECRET = AppSetting(
    "FLUXLESS_AZUREDEVOPS_WEBHOOK_SECRET",
    "",
    "the password of Azure DevOps service hooks (`POST /api/hooks/azuredevops`)",
)
ACR_WEBHOOK_SECRET = AppSetting(
    "FLUXLESS_ACR_WEBHOOK_SECRET",
    "",
    "the secret that ACR webhooks carry in a custom header (`POST /api/hooks/acr`)",
)
EVENTGRID_ISSUER = AppSetting(
    "FLUXLESS_EVENTGRID_ISSUER",
    "",
    (
        "`https://login.microsoftonline.com/<tenant>/v2.0`: who signs the tokens of Event Grid (`POST "
        "/api/hooks/eventgrid`)"
    ),
)
EVENTGRID_AUDIENCE = AppSetting(
    "FLUXLESS_EVENTGRID_AUDIENCE",
    "",
    "the application that Event Grid asks a token for",
)
EVENTGRID_CALLER = AppSetting(
    "FLUXLESS_EVENTGRID_CALLER",
    "4962773b-9cdb-44cf-a8bf-237846a00ab7",
    ("the application id of Event Grid itself, in whose name those tokens must be; another one in sovereign clouds"),
)
EVENTS_QUEUE = AppSetting(
    "FLUXLESS_EVENTS_QUEUE",
    "",
    (
        "a Storage queue that Event Grid fills with the events of registries; its connection is `FLUXLESS_EVENTS` "
        "(`FLUXLESS_EVENTS__queueServiceUri` for an identity)"
    ),
)
PUSH_SECRET = AppSetting(
    "FLUXLESS_PUSH_SECRET",
    "",
    "the secret of `fluxless install --push`, from which each cluster's own token is made",
)
TIMER = AppSetting(
    "FLUXLESS_TIMER",
    "*/30 * * * * *",
    "NCRONTAB of the timer that wakes every cluster (UTC)",
)
TASK_HUB = AppSetting(
    "FLUXLESS_TASK_HUB",
    "",
    "required: name of the task hub: letters and digits, unique per app",
)
ARTIFACT_BASE_URL = AppSetting(
    "FLUXLESS_ARTIFACT_BASE_URL",
    "",
    "default: the account URL + `/artifacts`; what `status.artifact.url` begins with",
)
DEFAULT_SERVICE_ACCOUNT = AppSetting(
    "FLUXLESS_DEFAULT_SERVICE_ACCOUNT",
    "",
    "whom a Kustomization without `serviceAccountName` impersonates; set it where tenants share a cluster",
)
DEFAULT_KUBECONFIG_SERVICE_ACCOUNT = AppSetting(
    "FLUXLESS_DEFAULT_KUBECONFIG_SERVICE_ACCOUNT",
    "",
    (
        "Flux's `--default-kubeconfig-service-account`: the account, in the object's namespace, whose identity opens "
        "the cluster of a `kubeConfig.configMapRef` without `serviceAccountName`"
    ),
)
DEFAULT_DECRYPTION_SERVICE_ACCOUNT = AppSetting(
    "FLUXLESS_DEFAULT_DECRYPTION_SERVICE_ACCOUNT",
    "",
    (
        "Flux's `--default-decryption-service-account`: the account, in the object's namespace, whose identity opens "
        "vaults for a `decryption` without `serviceAccountName`"
    ),
)
WATCH_LABEL_SELECTOR = AppSetting(
    "FLUXLESS_WATCH_LABEL_SELECTOR",
    "",
    (
        "Flux's `--watch-label-selector`: a label selector of the Flux objects that this app works on, such as "
        "`sharding.fluxcd.io/key=shard1`; it reads the others, as dependencies and sources"
    ),
)
ADDITIVE_READY_EXPR = AppSetting(
    "FLUXLESS_ADDITIVE_READY_EXPR",
    "false",
    (
        "Flux's gate `AdditiveCELDependencyCheck`: with `true` a `readyExpr` comes on top of the built-in check "
        "instead of replacing it"
    ),
)
FAIL_FAST = AppSetting(
    "FLUXLESS_FAIL_FAST",
    "true",
    (
        "`false` (Flux's gate `DisableFailFastBehavior`): a health check with an object that has failed goes on "
        "while others may still become ready"
    ),
)
NO_CROSS_NAMESPACE_REFS = AppSetting(
    "FLUXLESS_NO_CROSS_NAMESPACE_REFS",
    "false",
    "`true`: a `sourceRef` into another namespace is refused",
)
PRUNE_LIMIT = AppSetting(
    "FLUXLESS_PRUNE_LIMIT",
    "",
    (
        "recommended: `20` or `30%`. A run that would delete more, or any Namespace, PersistentVolumeClaim or "
        "CRD, holds with the reason `PruneHeld`, names what it would delete, and goes on once the Kustomization "
        "carries the annotation `fluxless.dev/approve-prune` with the digest from the message"
    ),
)
DRIFT_MODE = AppSetting(
    "FLUXLESS_DRIFT_MODE",
    "correct",
    (
        "`report`: drift is named in condition, event and history, and left alone, unless a Kustomization says "
        "otherwise by the annotation `fluxless.dev/drift`"
    ),
)
REMOTE_BASES = AppSetting(
    "FLUXLESS_REMOTE_BASES",
    "false",
    (
        "`true`: a kustomization may name bases and files elsewhere, by https; they are fetched by the app, "
        "without credentials"
    ),
)
OVERRIDE_MANAGERS = AppSetting(
    "FLUXLESS_OVERRIDE_MANAGERS",
    "",
    (
        "Flux's `--override-manager`: field managers, with commas between, whose fields are taken over as "
        "kubectl's are, such as `argocd-controller` while a cluster is [migrated](migrating.md)"
    ),
)
TRACE_SHARE = AppSetting(
    "FLUXLESS_TRACE_SHARE",
    "1",
    (
        "the share of commits whose traces are sent to Application Insights, from `0` to `1`; each is sent whole "
        "([monitoring](monitoring.md))"
    ),
)
HELM_GATES = AppSetting(
    "FLUXLESS_HELM_GATES",
    "",
    (
        "Flux's gates of HelmReleases, with commas between: `AllowDNSLookups`, `DefaultToRetryOnFailure`, "
        "`DisableChartDigestTracking`, `UseHelm3Defaults`"
    ),
)
RETRY_EXHAUSTED = AppSetting(
    "FLUXLESS_RETRY_EXHAUSTED",
    "",
    (
        "such as `1h`: a release whose retries are exhausted is tried again after five minutes, then after twice "
        "as long each time, up to this; Flux leaves it for ever"
    ),
)
CUSTOM_STAGE_KINDS = AppSetting(
    "FLUXLESS_CUSTOM_STAGE_KINDS",
    "",
    (
        "Flux's `--custom-apply-stage-kinds`: `group/Kind` with commas between, applied before all other objects "
        "that are no definitions or classes"
    ),
)
SOPS_AGE_SECRET = AppSetting(
    "FLUXLESS_SOPS_AGE_SECRET",
    "",
    (
        "`namespace/name` of a Secret whose `.agekey` values decrypt for every Kustomization (Flux's "
        "`--sops-age-secret`)"
    ),
)
OBJECT_LEVEL_IDENTITY = AppSetting(
    "FLUXLESS_OBJECT_LEVEL_IDENTITY",
    "false",
    (
        "`true`: `serviceAccountName` of a source, of `decryption` or of a kubeConfig's ConfigMap may name an account "
        "that is federated with an identity in Entra"
    ),
)
EXTERNAL_ARTIFACTS = AppSetting(
    "FLUXLESS_EXTERNAL_ARTIFACTS",
    "false",
    (
        "`true` (Flux's gate `ExternalArtifact`): artifacts that somebody else keeps are fetched from the URL in "
        "the status of an ExternalArtifact"
    ),
)
ACR_SUFFIXES = AppSetting(
    "FLUXLESS_ACR_SUFFIXES",
    ".azurecr.io,.azurecr.cn,.azurecr.de,.azurecr.us",
    "what the host of a registry ends in, for `provider: azure`",
)
TOKEN_HOSTS = AppSetting(
    "FLUXLESS_TOKEN_HOSTS",
    "",
    (
        "hosts of your own that may see tokens of Entra, besides Azure's: `storage=.blob.corp.example` with commas "
        "between, for `storage`, `devops`, `vault`, `eventhubs`, `aks`, `monitor` and `publishing` "
        "([identity walls](decisions/identity-walls.md))"
    ),
)
ALLOWED_ADDRESSES = AppSetting(
    "FLUXLESS_ALLOWED_ADDRESSES",
    "",
    (
        "addresses and ranges, with commas between, that sources, proxies, issuers and kubeconfigs of objects may lead "
        "to besides public ones, such as `10.80.0.0/22`: the networks of your own Git servers, registries and "
        "clusters. Metadata and identity endpoints are never among them ([security](security.md#network))"
    ),
)
CACHE_FOLDER = AppSetting(
    "FLUXLESS_CACHE_FOLDER",
    "",
    "default: the temp folder; where a worker keeps unpacked artifacts and rendered output",
)
KUSTOMIZE = AppSetting(
    "FLUXLESS_KUSTOMIZE",
    "",
    "path of our build program (`fluxless-kustomize`, not the kustomize command), instead of the packaged one in "
    "`bin/`",
)
SOPS = AppSetting(
    "FLUXLESS_SOPS",
    "",
    "path of sops, likewise",
)
NOTATION = AppSetting(
    "FLUXLESS_NOTATION",
    "",
    "path of notation, likewise",
)
HELM = AppSetting(
    "FLUXLESS_HELM",
    "",
    "path of helm, likewise",
)

ALL = tuple(value for value in tuple(globals().values()) if isinstance(value, AppSetting))
