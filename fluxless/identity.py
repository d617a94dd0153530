"""Who we are in Azure: the only room that imports azure.identity. `connect.py` and the blob store ask it for tokens."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from fluxless.api.failure import Failure, FailureClass, Problem

ROLES = {
    "https://containerregistry.azure.net": "AcrPull on the registry",
    "6dae42f8-4368-4678-94ff-3960e28e3630": "Azure Kubernetes Service RBAC Cluster Admin on the cluster",
    "499b84ac-1321-427f-aa17-267ca6975798": "read access to the repository in Azure DevOps",
}
"""By resource, what a token is good for only with; the GUIDs are those of AKS and Azure DevOps in every tenant. ARM,
storage and vault are asked by Azure's own clients, whose callers name the role."""


class Identity:
    """A credential. `sdk` is what Azure's own clients take; its tokens are cached and refreshed by azure-identity.

    `name` tells identities apart, for errors and for caches of what they have earned elsewhere.
    """

    def __init__(self, sdk: Any, name: str = "app") -> None:
        self.sdk = sdk
        self.name = name

    async def token(self, scope: str) -> str:
        """An access token for a scope such as `<app id>/.default`. Raises `Problem`."""
        from azure.core.exceptions import AzureError

        try:
            return str((await self.sdk.get_token(scope)).token)
        except AzureError as error:
            words = str(error).splitlines()
            role = ROLES.get(scope.removesuffix("/.default"))
            step = "give the app a managed identity, and its client id in FLUXLESS_IDENTITY_CLIENT_ID"
            raise Problem(
                Failure(
                    FailureClass.FORBIDDEN,
                    f"no Entra token for {scope} as {self.name}: {words[0] if words else type(error).__name__}",
                    next_step=f"{step}; that identity needs {role}" if role else step,
                )
            ) from error


@lru_cache(maxsize=8)
def credential(client_id: str | None = None) -> Identity:
    """The managed identity of the app where there is one, else what the developer is logged in with."""
    from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential

    name = f"app/{client_id or ''}"
    if os.environ.get("IDENTITY_ENDPOINT"):
        managed = ManagedIdentityCredential(client_id=client_id) if client_id else ManagedIdentityCredential()
        return Identity(managed, name)
    return Identity(DefaultAzureCredential(managed_identity_client_id=client_id), name)


def blocking(client_id: str | None = None) -> Any:
    """The same for libraries that send from a thread of their own: a credential of azure.identity that blocks."""
    from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

    if os.environ.get("IDENTITY_ENDPOINT"):
        return ManagedIdentityCredential(client_id=client_id) if client_id else ManagedIdentityCredential()
    return DefaultAzureCredential(managed_identity_client_id=client_id)


def federated(token: str, client_id: str, tenant_id: str, name: str) -> Identity:
    """The identity that trusts a token of a service account of the cluster (AZ-2). The caller closes its `sdk`."""
    from azure.identity.aio import ClientAssertionCredential

    return Identity(ClientAssertionCredential(tenant_id, client_id, lambda: token), name)


def of_secret(data: Mapping[str, bytes]) -> Identity | None:
    """The identity that a Secret names (AZ-10): a service principal with `clientSecret` or `clientCertificate`, or by
    `clientId` alone a managed identity; None when it names none. The caller closes its `sdk`. Raises ValueError.
    """
    from azure.identity.aio import CertificateCredential, ClientSecretCredential, ManagedIdentityCredential

    def text(key: str) -> str:
        return data.get(key, b"").decode(errors="replace").strip()

    client, tenant = text("clientId"), text("tenantId")
    options: dict[str, Any] = {"authority": text("authorityHost")} if text("authorityHost") else {}
    if client and tenant and text("clientSecret"):
        return Identity(ClientSecretCredential(tenant, client, text("clientSecret"), **options), f"{tenant}/{client}")
    if client and tenant and data.get("clientCertificate"):
        password = data.get("clientCertificatePassword") or None
        chain = text("clientCertificateSendChain").lower() in {"1", "true"}
        try:
            credential = CertificateCredential(
                tenant,
                client,
                certificate_data=data["clientCertificate"],
                password=password,
                send_certificate_chain=chain,
                **options,
            )
        except (ValueError, TypeError) as error:
            raise ValueError(f"has a clientCertificate that cannot be read: {error}") from None
        return Identity(credential, f"{tenant}/{client}")
    if client:
        return Identity(ManagedIdentityCredential(client_id=client), f"managed/{client}")
    return None
