"""What tokens of Entra are for: one row each, with the scope that is asked for and the hosts that may see the token.

A token goes to a host of its purpose's list and to no other, over TLS that nobody on the way can read. Azure's own
names, those of its sovereign clouds included, are in the table; private ones are added by an app setting. Pure but for
the environment, where app settings are.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.transport import Proxy, Tls

TOKEN_HOSTS = "FLUXLESS_TOKEN_HOSTS"
ACR_SUFFIXES = "FLUXLESS_ACR_SUFFIXES"
STORE_URL = "FLUXLESS_BLOB_ACCOUNT_URL"
ARM_ENDPOINT = "FLUXLESS_ARM_ENDPOINT"
HOST_STORE = "AzureWebJobsStorage__blobServiceUri"
"""Where the host of Functions keeps its own, and Bicep puts the package."""


class Purpose(NamedTuple):
    """`hosts` are names, and all names below them. `setting` adds some, `instead` says them all, `url` is a setting
    whose URL has one.
    """

    name: str
    scope: str
    role: str
    hosts: tuple[str, ...]
    setting: str = TOKEN_HOSTS
    url: str = ""


_STORAGE = "https://storage.azure.com/.default"
_BLOBS = (
    "blob.core.windows.net",
    "blob.storage.azure.net",
    "blob.core.usgovcloudapi.net",
    "blob.core.chinacloudapi.cn",
)
_ARM = "https://management.azure.com/.default"
STORAGE = Purpose("storage", _STORAGE, "Storage Blob Data Reader on the container", _BLOBS)
STORE = Purpose(
    "store", _STORAGE, "Storage Blob Data Contributor on the app's storage account", _BLOBS, STORE_URL, STORE_URL
)
AZURE_DEVOPS = Purpose(
    "devops",
    "499b84ac-1321-427f-aa17-267ca6975798/.default",
    "read access to the repository in Azure DevOps",
    ("dev.azure.com", "visualstudio.com"),
)
ACR = Purpose(
    "registry",
    "https://containerregistry.azure.net/.default",
    "AcrPull on the registry",
    ("azurecr.io", "azurecr.cn", "azurecr.de", "azurecr.us"),
    ACR_SUFFIXES,
)
VAULT = Purpose(
    "vault",
    "https://vault.azure.net/.default",
    "Key Vault Crypto User on the vault",
    ("vault.azure.net", "vault.azure.cn", "vault.usgovcloudapi.net", "managedhsm.azure.net"),
)
EVENT_HUBS = Purpose(
    "eventhubs",
    "https://eventhubs.azure.net/.default",
    "Azure Event Hubs Data Sender on the event hub",
    ("servicebus.windows.net", "servicebus.usgovcloudapi.net", "servicebus.chinacloudapi.cn"),
)
MANAGEMENT = Purpose(
    "arm",
    _ARM,
    "Azure Kubernetes Service Cluster User Role on the cluster",
    ("management.azure.com", "management.usgovcloudapi.net", "management.chinacloudapi.cn"),
    ARM_ENDPOINT,
    ARM_ENDPOINT,
)
PUBLISHING = Purpose(
    "publishing",
    _ARM,
    "Website Contributor on the app",
    ("azurewebsites.net", "azurewebsites.us", "chinacloudsites.cn"),
)
AKS = Purpose(
    "aks",
    "6dae42f8-4368-4678-94ff-3960e28e3630/.default",
    "Azure Kubernetes Service RBAC Cluster Admin on the cluster",
    ("azmk8s.io", "cx.aks.containerservice.azure.us", "cx.prod.service.azk8s.cn"),
)
MONITOR = Purpose(
    "monitor",
    "https://monitor.azure.com//.default",
    "Monitoring Metrics Publisher on the Application Insights",
    (
        "applicationinsights.azure.com",
        "services.visualstudio.com",
        "applicationinsights.us",
        "applicationinsights.azure.cn",
    ),
)
ENTRA = Purpose(
    "entra",
    "",
    "",
    (
        "login.microsoftonline.com",
        "login.microsoftonline.us",
        "login.partner.microsoftonline.cn",
        "login.chinacloudapi.cn",
    ),
    url="AZURE_AUTHORITY_HOST",
)
"""Not for a token, but for what earns one: where secrets, certificates and assertions may go."""
ALL = (STORAGE, STORE, AZURE_DEVOPS, ACR, VAULT, EVENT_HUBS, MANAGEMENT, PUBLISHING, AKS, MONITOR, ENTRA)
"""The GUIDs are those of AKS and Azure DevOps in every tenant."""
ADDED = tuple(purpose.name for purpose in ALL if purpose.setting == TOKEN_HOSTS)
"""Purposes that the app setting adds hosts to."""
_NETLOC = re.compile(r"^([A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::[0-9]{1,5})?$")
_ENTRY = re.compile(r"^\.?[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$")
_LOOPBACK = {"127.0.0.1", "localhost"}


class HostRefused(Problem):
    """A token was not given away: the host is not meant to see it, or somebody on the way could."""

    def __init__(self, purpose: Purpose, words: str, next_step: str) -> None:
        message = f"the {purpose.name} token of Entra is not given away: {words}"
        super().__init__(Failure(FailureClass.FORBIDDEN, message, next_step=next_step))


def hosts_of(purpose: Purpose) -> tuple[str, ...]:
    """All that may see its tokens, by the table and the app settings. Raises `Problem` for a setting that is wrong."""
    if purpose is ACR and (said := os.environ.get(ACR_SUFFIXES, "")):
        return tuple(entry.strip().lstrip(".").lower() for entry in said.split(",") if entry.strip())
    named = os.environ.get(purpose.url, "") if purpose.url else ""
    host = (urlsplit(named).hostname or "",) if named else ()
    return (*purpose.hosts, *host, *added().get(purpose.name, ()))


def added() -> dict[str, tuple[str, ...]]:
    """The hosts of the app setting, by the name of their purpose. Raises `Problem`."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in filter(None, map(str.strip, os.environ.get(TOKEN_HOSTS, "").split(","))):
        name, _, host = (part.strip() for part in entry.partition("="))
        if name not in ADDED or not _ENTRY.match(host):
            step = f"write it like storage=.blob.corp.example; the names are {', '.join(ADDED)}"
            raise Problem(Failure(FailureClass.VALIDATION, f"{TOKEN_HOSTS} has the entry {entry!r}", next_step=step))
        found[name] = (*found.get(name, ()), host.lstrip(".").lower())
    return found


def host_of(url: str) -> str:
    """The host of a URL in lower case; empty where two readers of the URL might not agree on it."""
    if any(not "!" <= letter <= "~" or letter == "\\" for letter in url):
        return ""
    try:
        found = _NETLOC.match(urlsplit(url).netloc)
    except ValueError:
        return ""
    return found[1].lower() if found else ""


def listed(purpose: Purpose, host: str) -> bool:
    """Whether a host may see the tokens of a purpose. Raises `Problem` for a setting that is wrong."""
    return any(host == name or host.endswith(f".{name}") for name in hosts_of(purpose) if name)


def admit(purpose: Purpose, url: str, *, tls: Tls | None, proxy: Proxy | None) -> None:
    """Return if the host of a URL may see a token of this purpose, sent with this TLS through this proxy. The port is
    free, since the certificate is of the host. Raises `HostRefused`.
    """
    host = host_of(url)
    if not host or not listed(purpose, host):
        shown = host or "the host of the URL"
        entry = f"{purpose.name}=<host>" if purpose.setting == TOKEN_HOSTS else "its host"
        step = f"correct the URL, which names no user; if the host is one of yours, add {entry} to {purpose.setting}"
        raise HostRefused(purpose, f"'{shown}' is no host for it", step)
    if url[:8].lower() != "https://" and (host not in _LOOPBACK or proxy is not None):
        raise HostRefused(purpose, f"'{host}' would get it without TLS", "write the URL with https")
    if tls is not None and tls.insecure:
        raise HostRefused(purpose, f"nobody would check who '{host}' is", "leave spec.insecure out")
    if tls is not None and tls.ca:
        step = "leave ca.crt out of the Secret; an authority of the whole app is given by SSL_CERT_FILE"
        raise HostRefused(purpose, f"'{host}' would be trusted by the authority of a Secret", step)


_OTHER_NAMES = ("-secondary", "-microsoftrouting", "-internetrouting", "-secondary")
"""Of an account's endpoints: the other region's and those that choose a way through the Internet, in both orders."""


def is_own_store(url: str) -> bool:
    """Whether a URL is of the storage account in which the app keeps artifacts of everybody, or its package."""
    own = {_account(host_of(os.environ.get(name, ""))) for name in (STORE_URL, HOST_STORE)} - {""}
    return _account(host_of(url)) in own


def _account(host: str) -> str:
    """The host of an account by its first name: Azure serves it by others as well, and account names have no dash."""
    name, dot, rest = host.partition(".")
    for other in _OTHER_NAMES:
        name = name.removesuffix(other)
    return f"{name}{dot}{rest}"
