"""Who we are in Azure: the only room that imports azure.identity.

Nobody gets a credential that is good for everything. A token is had by naming what it is for and the URL that will
carry it (`Identity.token`); Azure's own clients get a credential that knows one scope (`Identity.pinned`), whatever a
server's challenge asks for. Which hosts may see what, `purposes.py` says.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from uuid import UUID

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.auth.purposes import ENTRA, STORAGE, HostRefused, Purpose, admit, is_own_store
from fluxless.transport import Proxy, Tls

SOURCE_IDENTITY = "FLUXLESS_SOURCE_IDENTITY_CLIENT_ID"


class Pinned:
    """What Azure's own clients take: it gives tokens for one scope, whatever scope, tenant and claims are asked for,
    since clients ask for what a server's challenge names. A server that wants another token than the one that is meant
    for it refuses this one. Whoever made the identity closes it.
    """

    def __init__(self, sdk: Any, scope: str) -> None:
        self._sdk = sdk
        self._scope = scope

    async def get_token(self, *_: str, **__: Any) -> Any:
        """The SDK's AccessToken."""
        return await self._sdk.get_token(self._scope)

    async def close(self) -> None:
        """Nothing: the identity is somebody else's."""

    async def __aenter__(self) -> Pinned:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Likewise."""


class PinnedBlocking:
    """The same for libraries that send from a thread of their own."""

    def __init__(self, sdk: Any, scope: str) -> None:
        self._sdk = sdk
        self._scope = scope

    def get_token(self, *_: str, **__: Any) -> Any:
        """The SDK's AccessToken."""
        return self._sdk.get_token(self._scope)


class Identity:
    """Somebody whom Entra gives tokens, which azure-identity caches and refreshes.

    `name` tells identities apart, for errors and for caches of what they have earned elsewhere. One that `rules` may be
    that of the app itself, which can do more than read sources; one that is `shared` is of the whole worker, and nobody
    closes it.
    """

    def __init__(self, sdk: Any, name: str = "app", *, rules: bool = False, shared: bool = False) -> None:
        self._sdk = sdk
        self.name = name
        self.rules = rules
        self.shared = shared

    def admit(self, purpose: Purpose, url: str, *, tls: Tls | None = None, proxy: Proxy | None = None) -> None:
        """Return if this URL may carry a token of this purpose. Raises `HostRefused`."""
        admit(purpose, url, tls=tls, proxy=proxy)
        if self.rules and purpose is STORAGE and is_own_store(url):
            step = f"keep it in another storage account, or give sources an identity of their own by {SOURCE_IDENTITY}"
            raise HostRefused(purpose, "the storage account is that of the app, where artifacts of everybody are", step)

    async def token(self, purpose: Purpose, url: str, *, tls: Tls | None = None, proxy: Proxy | None = None) -> str:
        """An access token for a purpose, to be sent to this URL, with this TLS through this proxy. Raises `Problem`."""
        from azure.core.exceptions import AzureError

        self.admit(purpose, url, tls=tls, proxy=proxy)
        try:
            return str((await self._sdk.get_token(purpose.scope)).token)
        except AzureError as error:
            words = str(error).splitlines()
            step = "give the app a managed identity, and its client id in FLUXLESS_IDENTITY_CLIENT_ID"
            raise Problem(
                Failure(
                    FailureClass.FORBIDDEN,
                    f"no Entra token for {purpose.scope} as {self.name}: {words[0] if words else type(error).__name__}",
                    next_step=f"{step}; that identity needs {purpose.role}",
                )
            ) from error

    def pinned(self, purpose: Purpose, url: str, *, proxy: Proxy | None = None) -> Pinned:
        """What a client of Azure's takes that speaks to this URL, by TLS of its own. Raises `HostRefused`."""
        self.admit(purpose, url, proxy=proxy)
        return Pinned(self._sdk, purpose.scope)

    async def close(self) -> None:
        """Give back its connections."""
        await self._sdk.close()


@lru_cache(maxsize=8)
def credential(client_id: str | None = None) -> Identity:
    """The identity of the app where there is one, else what the developer is logged in with. Raises `Problem`."""
    from azure.identity import aio

    return Identity(_chosen(aio, client_id), f"app/{client_id or ''}", rules=_rules(client_id), shared=True)


def of_sources(client_id: str) -> Identity:
    """By whom sources are read and vaults asked: an identity of their own where the app setting names one, else the
    app's, whose client id is given.
    """
    return credential(os.environ.get(SOURCE_IDENTITY, "") or client_id or None)


def _rules(client_id: str | None) -> bool:
    return not client_id or client_id != os.environ.get(SOURCE_IDENTITY, "")


def blocking(purpose: Purpose, url: str, client_id: str | None = None) -> PinnedBlocking:
    """The app's identity for libraries that send from a thread of their own. Raises `Problem`."""
    import azure.identity

    admit(purpose, url, tls=None, proxy=None)
    return PinnedBlocking(_chosen(azure.identity, client_id), purpose.scope)


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
    """The identity that trusts a token of a service account of the cluster (AZ-2). The caller closes it."""
    from azure.identity.aio import ClientAssertionCredential

    return Identity(ClientAssertionCredential(tenant_id, client_id, lambda: token), name)


def of_secret(data: Mapping[str, bytes], ruling: frozenset[str] = frozenset()) -> Identity | None:
    """The identity that a Secret names (AZ-10): a service principal with `clientSecret` or `clientCertificate`, or by
    `clientId` alone a managed identity of the app, but none of the `ruling` ones; None when it names none. The caller
    closes it. Raises ValueError, and `HostRefused` for an `authorityHost` that is not Entra.
    """
    from azure.identity.aio import CertificateCredential, ClientSecretCredential, ManagedIdentityCredential

    def text(key: str) -> str:
        return data.get(key, b"").decode(errors="replace").strip()

    client, tenant = text("clientId"), text("tenantId")
    options: dict[str, Any] = {}
    if authority := text("authorityHost"):
        admit(ENTRA, authority if "://" in authority else f"https://{authority}", tls=None, proxy=None)
        options["authority"] = authority
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
        try:
            client = str(UUID(client))  # Azure takes other spellings of one that rules
        except ValueError:
            raise ValueError("has a clientId that is no UUID") from None
        if client in ruling:
            raise ValueError("names by clientId an identity that rules clusters, which objects may not choose")
        return Identity(ManagedIdentityCredential(client_id=client), f"managed/{client}", rules=_rules(client))
    return None
