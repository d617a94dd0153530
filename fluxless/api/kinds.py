"""The one table of Flux kinds. Clients, CRDs, plans and the CLI read it; a new kind is one row here.

`built` says whether this engine reconciles the kind; the others are known by name so that references to them are
understood and refused in plain words.
"""

from __future__ import annotations

from dataclasses import dataclass

FINALIZER = "finalizers.fluxcd.io"
"""Flux's finalizer on every reconciled kind (CM-5)."""

_SOURCE = "source.toolkit.fluxcd.io"
_IMAGE = "image.toolkit.fluxcd.io"
_NOTIFICATION = "notification.toolkit.fluxcd.io"


@dataclass(frozen=True, slots=True)
class Kind:
    """One Flux kind. `versions` are the served API versions, the stored one first; `component` is the Flux controller
    whose name events and field managers carry.
    """

    group: str
    kind: str
    plural: str
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    versions: tuple[str, ...]
    component: str
    built: bool = False
    finalizer: str = FINALIZER

    @property
    def api_version(self) -> str:
        """Group and stored version."""
        return f"{self.group}/{self.versions[0]}"

    @property
    def singular(self) -> str:
        """The name of one object, as `kubectl` takes it."""
        return self.kind.lower()

    @property
    def crd_name(self) -> str:
        """The name of the CustomResourceDefinition."""
        return f"{self.plural}.{self.group}"

    @property
    def status_manager(self) -> str:
        """The field manager of status patches (KC-50)."""
        return f"gotk-{self.component}"


def _source(kind: str, plural: str, *short: str, old: bool = True, built: bool = False) -> Kind:
    versions = ("v1", "v1beta2", "v1beta1") if old else ("v1",)
    categories = ("all", "fluxcd", "fluxcd-sources")
    return Kind(_SOURCE, kind, plural, short, categories, versions, "source-controller", built)


GIT_REPOSITORY = _source("GitRepository", "gitrepositories", "gitrepo", built=True)
OCI_REPOSITORY = Kind(
    _SOURCE,
    "OCIRepository",
    "ocirepositories",
    ("ocirepo",),
    ("all", "fluxcd", "fluxcd-sources"),
    ("v1", "v1beta2"),
    "source-controller",
    built=True,
)
BUCKET = _source("Bucket", "buckets", built=True)
HELM_REPOSITORY = _source("HelmRepository", "helmrepositories", "helmrepo", built=True)
HELM_CHART = _source("HelmChart", "helmcharts", "hc", built=True)
EXTERNAL_ARTIFACT = _source("ExternalArtifact", "externalartifacts", "ea", old=False, built=True)
KUSTOMIZATION = Kind(
    "kustomize.toolkit.fluxcd.io",
    "Kustomization",
    "kustomizations",
    ("ks",),
    ("all", "fluxcd", "fluxcd-appliers"),
    ("v1", "v1beta2", "v1beta1"),
    "kustomize-controller",
    built=True,
)
HELM_RELEASE = Kind(
    "helm.toolkit.fluxcd.io",
    "HelmRelease",
    "helmreleases",
    ("hr",),
    ("all", "fluxcd", "fluxcd-appliers"),
    ("v2", "v2beta2", "v2beta1"),
    "helm-controller",
    built=True,
)
ARTIFACT_GENERATOR = Kind(
    "source.extensions.fluxcd.io",
    "ArtifactGenerator",
    "artifactgenerators",
    ("ag",),
    ("all", "fluxcd", "fluxcd-sources"),
    ("v1beta1",),
    "source-watcher",
    built=True,
    finalizer="source.extensions.fluxcd.io/finalizer",
)


def _image(kind: str, plural: str, *short: str, component: str = "image-reflector-controller") -> Kind:
    return Kind(_IMAGE, kind, plural, short, ("all", "fluxcd", "fluxcd-images"), ("v1", "v1beta2"), component)


IMAGE_REPOSITORY = _image("ImageRepository", "imagerepositories", "imgrepo", "imagerepo")
IMAGE_POLICY = _image("ImagePolicy", "imagepolicies", "imgpol", "imagepol")
IMAGE_UPDATE_AUTOMATION = _image(
    "ImageUpdateAutomation",
    "imageupdateautomations",
    "iua",
    "imgupd",
    "imgauto",
    component="image-automation-controller",
)


def _notification(kind: str, plural: str, *versions: str, built: bool = False) -> Kind:
    categories = ("all", "fluxcd", "fluxcd-notifications")
    return Kind(_NOTIFICATION, kind, plural, (), categories, versions, "notification-controller", built)


RECEIVER = _notification("Receiver", "receivers", "v1", "v1beta2", "v1beta1", built=True)
PROVIDER = _notification("Provider", "providers", "v1beta3", "v1beta2")
ALERT = _notification("Alert", "alerts", "v1beta3", "v1beta2")

KINDS: tuple[Kind, ...] = (
    GIT_REPOSITORY,
    OCI_REPOSITORY,
    BUCKET,
    HELM_REPOSITORY,
    HELM_CHART,
    EXTERNAL_ARTIFACT,
    ARTIFACT_GENERATOR,
    KUSTOMIZATION,
    HELM_RELEASE,
    IMAGE_REPOSITORY,
    IMAGE_POLICY,
    IMAGE_UPDATE_AUTOMATION,
    RECEIVER,
    PROVIDER,
    ALERT,
)

SOURCE_KINDS: frozenset[str] = frozenset(kind.kind for kind in KINDS if kind.group == _SOURCE)
"""Names of the kinds that others take their artifacts from."""

_BY_NAME = {
    name: kind for kind in KINDS for name in (kind.kind, kind.singular, kind.plural, *kind.short_names, kind.crd_name)
}


def by_name(name: str) -> Kind:
    """The kind called so: kind, singular, plural or short name, in the case of the table. Raises KeyError."""
    return _BY_NAME[name]
