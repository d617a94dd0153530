"""What users write alike in a Kustomization and a HelmRelease: pieces of their schemas."""

from __future__ import annotations

from fluxless.api.schema import Schema, listing, mapping, record, reference, text

_ONE_KUBECONFIG = "exactly one of spec.kubeConfig.configMapRef or spec.kubeConfig.secretRef must be specified"
SELECTOR = record(
    {
        "annotationSelector": text("Selects by annotations."),
        "group": text("API group."),
        "kind": text("Kind."),
        "labelSelector": text("Selects by labels."),
        "name": text("Name, as a regular expression."),
        "namespace": text("Namespace, as a regular expression."),
        "version": text("API version within the group."),
    },
    "Which objects.",
)


def common_metadata() -> Schema:
    """Labels and annotations for every object."""
    return record({"annotations": mapping("Annotations."), "labels": mapping("Labels.")}, "What every object gets.")


def depends_on(says: str) -> Schema:
    """Objects that must be ready before (KC-9, HR-9, CM-22)."""
    return listing(
        record(
            {
                "apiVersion": text("API version of an object of another kind; not part of Flux's API."),
                "kind": text("Kind; this object's own when empty. Not part of Flux's API."),
                "name": text("Name."),
                "namespace": text("Namespace; this object's own when empty."),
                "readyExpr": text("CEL expression that decides whether it is ready."),
            },
            required=("name",),
        ),
        says,
    )


def health_checks() -> Schema:
    """CEL in place of kstatus (CM-23)."""
    return listing(
        record(
            {
                "apiVersion": text("API version of the kind."),
                "current": text("CEL expression: it is ready."),
                "failed": text("CEL expression: it has failed."),
                "inProgress": text("CEL expression: it is under way."),
                "kind": text("Kind."),
            },
            required=("apiVersion", "current"),
        ),
        "How to tell whether objects of a kind are ready.",
    )


def ignored() -> Schema:
    """Fields that are left to others."""
    return listing(
        record({"paths": listing(text(), "JSON pointers."), "target": SELECTOR}, required=("paths",)),
        "Fields that are left to others.",
    )


def images() -> Schema:
    """Images that kustomize replaces."""
    return listing(
        record(
            {
                "digest": text("Digest; wins over the tag."),
                "name": text("Image to look for."),
                "newName": text("Its new name."),
                "newTag": text("Its new tag."),
            },
            required=("name",),
        ),
        "Images to replace.",
    )


def patches() -> Schema:
    """Patches of kustomize."""
    return listing(
        record({"patch": text("A strategic merge or JSON 6902 patch."), "target": SELECTOR}, required=("patch",)),
        "Patches.",
    )


def kube_config() -> Schema:
    """How another cluster is reached: exactly one of a Secret (CM-15) and a ConfigMap (CM-16)."""
    return record(
        {
            "configMapRef": reference("ConfigMap that describes the cluster."),
            "secretRef": record(
                {"key": text("Key of the Secret."), "name": text("Name of the Secret.")}, required=("name",)
            ),
        },
        "Another cluster to apply to.",
        rules=(
            ("has(self.configMapRef) || has(self.secretRef)", _ONE_KUBECONFIG),
            ("!has(self.configMapRef) || !has(self.secretRef)", _ONE_KUBECONFIG),
        ),
    )


def inventory() -> Schema:
    """`status.inventory`: the ids of the objects that were applied, with their API versions (KC-43, HR-44)."""
    ids = record(
        {"id": text("<namespace>_<name>_<group>_<kind>"), "v": text("API version within the group.")},
        required=("id", "v"),
    )
    return record({"entries": listing(ids)}, "What is in the cluster.", required=("entries",))
