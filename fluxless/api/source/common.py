"""Pieces that the declarations of several sources share."""

from __future__ import annotations

from fluxless.api.schema import (
    DURATION,
    SHORT_DURATION,
    Schema,
    artifact,
    conditions,
    flag,
    listing,
    mapping,
    number,
    record,
    reference,
    text,
)

OIDC_IDENTITIES = listing(
    record(
        {
            "issuer": text("Regular expression for the issuer of the certificate."),
            "subject": text("Regular expression for its subject."),
        },
        required=("issuer", "subject"),
    ),
    "Who may have signed without a key; one of them must match.",
)


def interval(says: str) -> Schema:
    """How often the remote is asked."""
    return text(says, pattern=DURATION)


def timeout(**limits: str) -> Schema:
    """The limit of one operation."""
    return text("Limit of one operation on the remote.", pattern=SHORT_DURATION, **limits)


def suspend() -> Schema:
    """The switch that stops reconciliation (CM-8)."""
    return flag("Do nothing while this is true.")


def ignore() -> Schema:
    """The patterns of `spec.ignore`, which replace the default exclusions (SC-11)."""
    return text("Patterns of files to leave out of the artifact, in the format of .gitignore.")


def secret(says: str) -> Schema:
    """A Secret by name."""
    return reference(f"Secret with {says}, in the same namespace.")


def access_from() -> Schema:
    """The selectors of `accessFrom`, accepted and forgotten as in Flux (SC-12)."""
    selectors = listing(record({"matchLabels": mapping()}))
    return record({"namespaceSelectors": selectors}, "Has no meaning any more.", required=("namespaceSelectors",))


def verify(*, root: bool) -> Schema:
    """Whose signature is asked for (OR-5, CH-5); `root` says whether a trusted root may be named (OR-6)."""
    fields = {
        "matchOIDCIdentity": OIDC_IDENTITIES,
        "provider": text("Who made the signature.", default="cosign", enum=["cosign", "notation"]),
        "secretRef": secret("the public keys or certificates of trusted authors"),
    }
    rules: tuple[tuple[str, str], ...] = ()
    if root:
        fields["trustedRootSecretRef"] = secret("the key trusted_root.json, for signatures without a key")
        rules = (
            (
                "!has(self.trustedRootSecretRef) || self.provider == 'cosign'",
                "trustedRootSecretRef can only be set when provider is 'cosign'",
            ),
            (
                "!has(self.trustedRootSecretRef) || !has(self.secretRef)",
                "trustedRootSecretRef is for signatures without a key: leave secretRef out",
            ),
        )
    return record(fields, "Verify signatures.", required=("provider",), rules=rules)


def status(more: dict[str, Schema] | None = None, *, old: bool = False, url: bool = True) -> Schema:
    """The status that all of them have, and what one adds."""
    fields: dict[str, Schema] = {
        "artifact": artifact("The newest artifact.", old=old),
        "conditions": conditions(),
        "lastHandledReconcileAt": text("The last reconcile request that was handled."),
        "observedGeneration": number("The last generation that was handled."),
        **({"url": text("Where the newest artifact can be had.")} if url else {}),
        **(more or {}),
    }
    return record(fields, "What was fetched.") | {"default": {"observedGeneration": -1}}
