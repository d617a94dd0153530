"""Who we are in Azure: the only room that imports azure.identity. `connect.py` and the blob store ask it for tokens."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from fluxless.api.failure import Failure, FailureClass, Problem


class Resource(NamedTuple):
    """What tokens are asked for, and what they are good for only with."""

    scope: str
    role: str


MANAGEMENT = Resource(
    "https://management.azure.com/.default", "Azure Kubernetes Service Cluster User Role on the cluster"
)
ACR = Resource("https://containerregistry.azure.net/.default", "AcrPull on the registry")
AKS = Resource(
    "6dae42f8-4368-4678-94ff-3960e28e3630/.default", "Azure Kubernetes Service RBAC Cluster Admin on the cluster"
)
AZURE_DEVOPS = Resource(
    "499b84ac-1321-427f-aa17-267ca6975798/.default", "read access to the repository in Azure DevOps"
)
EVENT_HUBS = Resource("https://eventhubs.azure.net/.default", "Azure Event Hubs Data Sender on the event hub")
ROLES = {resource.scope: resource.role for resource in (MANAGEMENT, ACR, AKS, AZURE_DEVOPS, EVENT_HUBS)}
"""The GUIDs are those of AKS and Azure DevOps in every tenant; ARM is asked for kubeconfigs alone. Storage, vault and
monitoring are asked by Azure's own clients, whose callers name the role."""


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
            role = ROLES.get(scope)
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
    """The identity of the app where there is one, else what the developer is logged in with. Raises `Problem`."""
    from azure.identity import aio

    return Identity(_chosen(aio, client_id), f"app/{client_id or ''}")


def blocking(client_id: str | None = None) -> Any:
    """The same for libraries that send from a thread of their own. Raises `Problem`."""
    import azure.identity

    return _chosen(azure.identity, client_id)


def _chosen(sdk: Any, client_id: str | None) -> Any:
    """A managed identity on Functions and Container Apps; workload identity in a pod, where its webhook has set the
    variables of `AZURE_FEDERATED_TOKEN_FILE`; else whatever a developer has.
    """
    named = {"client_id": client_id} if client_id else {}
    if os.environ.get("IDENTITY_ENDPOINT"):
        return sdk.ManagedIdentityCredential(**named)
    if os.environ.get("AZURE_FEDERATED_TOKEN_FILE"):
        try:
            return sdk.WorkloadIdentityCredential(**named)
        except ValueError as error:
            words = f"workload identity is not set up: {str(error).splitlines()[0]}"
            step = "annotate the pod's service account with azure.workload.identity/client-id, and start the pod anew"
            raise Problem(Failure(FailureClass.FORBIDDEN, words, next_step=step)) from None
    return sdk.DefaultAzureCredential(managed_identity_client_id=client_id)


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
