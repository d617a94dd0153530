"""Tokens of service accounts of the cluster, for somebody else who trusts its issuer: another cluster, or Entra."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.auth.identity import Identity, federated
from fluxless.kube.client import Cluster

ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
"""Of a client or tenant: the latter becomes part of a URL."""
SECONDS = 3600
ENTRA_AUDIENCE = "api://AzureADTokenExchange"
CLIENT_ID = "azure.workload.identity/client-id"
TENANT_ID = "azure.workload.identity/tenant-id"


async def service_account_token(cluster: Cluster, namespace: str, name: str, audiences: Sequence[str]) -> str:
    """A token for these audiences, by the TokenRequest API. Raises `ApiProblem`."""
    resource = await cluster.resource("v1", "ServiceAccount")
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": list(audiences), "expirationSeconds": SECONDS},
    }
    answer = await cluster.request("POST", resource.path(namespace, name, "token"), body=body)
    return str(answer["status"]["token"])


@dataclass(frozen=True, slots=True)
class Workload:
    """A service account that is federated with an identity in Entra (AZ-2)."""

    cluster: Cluster
    namespace: str
    account: str
    client_id: str
    tenant_id: str

    @property
    def who(self) -> str:
        """Tells identities apart."""
        return f"{self.cluster.name}/{self.namespace}/{self.account}/{self.tenant_id}/{self.client_id}"

    async def token(self) -> str:
        """A token of the account that Entra accepts in place of a secret. Raises `ApiProblem`."""
        return await service_account_token(self.cluster, self.namespace, self.account, [ENTRA_AUDIENCE])

    async def identity(self) -> Identity:
        """Who gets tokens for that; the caller closes it. Raises `ApiProblem`."""
        return federated(await self.token(), self.client_id, self.tenant_id, self.who)


async def workload(cluster: Cluster, namespace: str, name: str) -> Workload:
    """The identity that the annotations of a service account name. Raises `Problem` saying what is missing."""
    account = await cluster.get(await cluster.resource("v1", "ServiceAccount"), name, namespace)
    where = f"service account '{namespace}/{name}'"
    if account is None:
        raise Problem(Failure(FailureClass.SOURCE_AUTH, f"{where} not found", next_step="create it"))
    notes = account["metadata"].get("annotations") or {}
    missing = [note for note in (CLIENT_ID, TENANT_ID) if not notes.get(note)]
    if missing:
        step = f"annotate it with {' and '.join(missing)} of the identity that is federated with it"
        raise Problem(Failure(FailureClass.SOURCE_AUTH, f"{where} names no identity", next_step=step))
    client_id, tenant_id = str(notes[CLIENT_ID]), str(notes[TENANT_ID])
    if not (ID.fullmatch(client_id) and ID.fullmatch(tenant_id)):
        step = f"write the ids of the identity into {CLIENT_ID} and {TENANT_ID}"
        raise Problem(Failure(FailureClass.SOURCE_AUTH, f"{where} names an identity by what is no id", next_step=step))
    return Workload(cluster, namespace, name, client_id, tenant_id)
