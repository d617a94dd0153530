"""What every step may use besides the cluster: made once per worker by the composition root."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fluxless.artifacts.cache import ArtifactCache
from fluxless.artifacts.store import Store
from fluxless.reconcile.remotes import Remotes
from fluxless.reconcile.slots import Slots


@dataclass(frozen=True, slots=True)
class Settings:
    """App settings that change how objects are reconciled. Times in seconds.

    `requeue_dependency` is Flux's flag of that name; `progress_after` is how long a step runs before its progress is
    written; `health_inline` is how long a health check may poll inside a step before it becomes a durable wait, and
    `health_poll` the time between two looks after that (KC-93).
    """

    artifact_base_url: str = "https://artifacts.invalid"
    requeue_dependency: float = 30.0
    progress_after: float = 2.5
    health_inline: float = 3.0
    health_poll: float = 5.0
    no_cross_namespace_refs: bool = False
    prune_limit: str = ""
    """`20` or `30%`: what a run may delete without approval; empty means everything, as in Flux."""
    sops_age_secret: str = ""
    """Flux's `--sops-age-secret`, as `namespace/name`: age identities for every Kustomization."""
    object_level_identity: bool = False
    """Flux's gate `ObjectLevelWorkloadIdentity`: objects may act as the identity of a service account (CM-17)."""
    custom_stage_kinds: tuple[tuple[str, str], ...] = ()
    """Flux's `--custom-apply-stage-kinds`, as (group, kind): applied before the rest (KC-78)."""
    report_drift: bool = False
    """Whether drift is told and left alone unless the object says otherwise."""
    remote_bases: bool = False
    """Whether a kustomization may name bases elsewhere (KC-66); Flux allows it unless told otherwise."""
    override_managers: tuple[str, ...] = ()
    """Flux's `--override-manager`: field managers whose fields are taken over besides kubectl's (KC-86)."""
    additive_expressions: bool = False
    """Flux's gate `AdditiveCELDependencyCheck`."""
    fail_fast: bool = True
    """False is Flux's gate `DisableFailFastBehavior`: a health check goes on while anything may still become ready."""
    watch_selector: str = ""
    """Flux's `--watch-label-selector`: which Flux objects this app works on."""
    identity_client_id: str = ""
    """The client id of the app's user-assigned identity; empty for the system-assigned one."""
    ruling_identities: frozenset[str] = frozenset()
    """Client ids of identities of the app that rule clusters: no object chooses one by a Secret."""
    artifact_retention: float = 60.0
    """Flux's `--artifact-retention-ttl` (SC-7): an artifact is not deleted before it is so old."""
    source_spacing: float = 2.0
    """A storm of pushes costs a fetch in so many seconds."""
    release_lease: float = 30.0
    """How long nobody else touches a Helm release whose worker is not heard of any more."""
    apply_lease: float = 10.0
    """How long nobody else applies or prunes for a Kustomization whose worker is not heard of any more."""
    retry_exhausted: float = 0.0
    """The longest pause after which a release whose retries are exhausted is tried again; 0 leaves it, as Flux does."""
    helm_gates: frozenset[str] = frozenset()
    """Flux's feature gates of HelmReleases that are on (HR-81)."""
    default_service_account: str = ""
    """Flux's `--default-service-account`: whom a Kustomization without one of its own impersonates (CM-14)."""
    default_kubeconfig_service_account: str = ""
    """Flux's flag of that name: the account of a kubeConfig's ConfigMap that names none (CM-16)."""
    default_decryption_service_account: str = ""
    """Flux's flag of that name: the account of a `spec.decryption` that names none (KC-22)."""


@dataclass(frozen=True, slots=True)
class Services:
    """The store, the worker's artifact cache, the settings, the clock (seconds since the epoch), remote clusters, and
    the slots of the worker.
    """

    store: Store
    artifacts: ArtifactCache
    settings: Settings = field(default_factory=Settings)
    clock: Callable[[], float] = time.time
    remotes: Remotes = field(default_factory=Remotes)
    slots: Slots = field(default_factory=Slots)
