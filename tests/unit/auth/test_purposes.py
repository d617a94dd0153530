"""Who may see a token of Entra: hosts, TLS, proxies, and the app settings that add hosts."""

from __future__ import annotations

import pytest

from fluxless.api.failure import Problem
from fluxless.auth.purposes import (
    ACR,
    AKS,
    ALL,
    AZURE_DEVOPS,
    STORAGE,
    STORE,
    VAULT,
    HostRefused,
    Purpose,
    added,
    admit,
)
from fluxless.transport import Proxy, Tls
from functions import reconciliation

ACCOUNT = "https://a.blob.core.windows.net"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FLUXLESS_TOKEN_HOSTS", "FLUXLESS_ACR_SUFFIXES", "FLUXLESS_BLOB_ACCOUNT_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("purpose", "url"),
    [
        (STORAGE, ACCOUNT),
        (STORAGE, "https://A.Blob.Core.Windows.NET:443/c?x=y"),
        (STORAGE, "https://a.blob.core.usgovcloudapi.net"),
        (STORAGE, "https://a.z01.blob.storage.azure.net"),
        (AZURE_DEVOPS, "https://dev.azure.com/o/p/_git/r"),
        (AZURE_DEVOPS, "https://o.visualstudio.com/p/_git/r"),
        (ACR, "https://a.azurecr.cn/oauth2/exchange"),
        (VAULT, "https://vault.usgovcloudapi.net"),
        (AKS, "https://a-b1.hcp.westeurope.azmk8s.io:443"),
        (AKS, "https://a-b1.privatelink.westeurope.azmk8s.io"),
    ],
)
def test_hosts_of_azure_may(purpose: Purpose, url: str) -> None:
    admit(purpose, url, tls=Tls(), proxy=Proxy("http://proxy.example:3128"))


@pytest.mark.parametrize(
    "url",
    [
        "https://attacker.example",
        "https://blob.core.windows.net.attacker.example",
        "https://xblob.core.windows.net",
        "https://a.vault.azure.net",
        "https://attacker.example/.blob.core.windows.net",
        "https://attacker.example?.blob.core.windows.net",
        "https://attacker.example#.blob.core.windows.net",
        "https://attacker.example\\.blob.core.windows.net",
        "https://a.blob.core.windows.net@attacker.example",
        "https://attacker.example@a.blob.core.windows.net",
        "https://a.blob.core.windows.net:443@attacker.example",
        "https://a.blob.core.windows.net:x",
        "https://a.blob.core.windows.net.",
        "https://attacker.example\t.blob.core.windows.net",
        "https://attacker.example\uff0f.blob.core.windows.net",
        " https://a.blob.core.windows.net",
        "http://a.blob.core.windows.net",
        "ftp://a.blob.core.windows.net",
        "https:/a.blob.core.windows.net",
        "//a.blob.core.windows.net",
        "https://[::1].blob.core.windows.net",
        "https://[",
        "",
    ],
)
def test_nobody_else_may(url: str) -> None:
    with pytest.raises(HostRefused):
        admit(STORAGE, url, tls=None, proxy=None)


@pytest.mark.parametrize(("tls", "words"), [(Tls(ca=b"x"), "ca.crt"), (Tls(insecure=True), "spec.insecure")])
def test_only_the_systems_authorities_are_believed(tls: Tls, words: str) -> None:
    with pytest.raises(HostRefused, match=words):
        admit(STORAGE, ACCOUNT, tls=tls, proxy=None)
    admit(STORAGE, ACCOUNT, tls=Tls(certificate=b"x", key=b"y"), proxy=None)


def test_without_tls_it_stays_on_this_machine_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://127.0.0.1:10000/account"
    with pytest.raises(HostRefused):
        admit(STORAGE, url, tls=None, proxy=None)
    monkeypatch.setenv("FLUXLESS_TOKEN_HOSTS", "storage=127.0.0.1, storage=.corp.example")
    admit(STORAGE, url, tls=None, proxy=None)
    with pytest.raises(HostRefused, match="without TLS"):
        admit(STORAGE, url, tls=None, proxy=Proxy("http://127.0.0.1:3128"))
    with pytest.raises(HostRefused, match="without TLS"):
        admit(STORAGE, "http://a.corp.example", tls=None, proxy=None)


def test_hosts_of_ones_own_are_added_for_their_purpose_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUXLESS_TOKEN_HOSTS", "storage=.blob.corp.example,devops=tfs.corp.example")
    admit(STORAGE, "https://a.blob.corp.example", tls=None, proxy=None)
    admit(STORAGE, ACCOUNT, tls=None, proxy=None)
    admit(AZURE_DEVOPS, "https://tfs.corp.example/o", tls=None, proxy=None)
    for purpose, url in ((STORAGE, "https://tfs.corp.example"), (AZURE_DEVOPS, "https://a.blob.corp.example")):
        with pytest.raises(HostRefused, match=f"{purpose.name}=<host> to FLUXLESS_TOKEN_HOSTS"):
            admit(purpose, url, tls=None, proxy=None)


def test_registries_are_those_of_their_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUXLESS_ACR_SUFFIXES", ".registry.corp.example")
    admit(ACR, "https://a.registry.corp.example", tls=None, proxy=None)
    with pytest.raises(HostRefused, match="FLUXLESS_ACR_SUFFIXES"):
        admit(ACR, "https://a.azurecr.io", tls=None, proxy=None)


def test_the_store_is_where_its_setting_says(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://127.0.0.1:10000/account"
    with pytest.raises(HostRefused):
        admit(STORE, url, tls=None, proxy=None)
    monkeypatch.setenv("FLUXLESS_BLOB_ACCOUNT_URL", url)
    admit(STORE, url, tls=None, proxy=None)
    with pytest.raises(HostRefused):
        admit(STORAGE, url, tls=None, proxy=None)


@pytest.mark.parametrize(
    "text", ["blob.corp.example", "blobs=a.example", "registry=a.example", "storage=", "storage=*"]
)
def test_an_entry_that_means_nothing_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("FLUXLESS_TOKEN_HOSTS", text)
    for read in (added, reconciliation.read):
        with pytest.raises(Problem, match="FLUXLESS_TOKEN_HOSTS"):
            read()


def test_no_purpose_has_a_host_of_another() -> None:
    """A token that goes astray between two purposes is still one of another audience, but need not be."""
    rows = [(purpose.scope, host) for purpose in ALL for host in purpose.hosts]
    for scope, host in rows:
        for other, name in rows:
            assert scope == other or not (host == name or host.endswith(f".{name}")) or "visualstudio" in name, host
