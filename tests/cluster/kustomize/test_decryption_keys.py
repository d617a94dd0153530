"""Keys of other kinds than age: PGP, and Azure Key Vault with every identity that Azure has (KC-21, KC-22, KC-99)."""

import asyncio
import base64
import os
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pysequoia import Tsk

from fluxless.auth import identity
from fluxless.reconcile.services import Settings
from tests.support.azure import TENANT, VAULT, Azure
from tests.support.flux import Flux, message, ready
from tests.support.repositories import Repo
from tools import binaries

PLAIN = "correct-horse-battery"
SECRET = f"apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\nstringData:\n  password: {PLAIN}\n"


def _encrypt(*arguments: str, env: dict[str, str]) -> str:
    sops = str(binaries.find(binaries.SOPS))
    options = ["--encrypted-regex", "^(data|stringData)$", "--input-type", "yaml", "--output-type", "yaml"]
    return subprocess.run(
        [sops, "encrypt", *arguments, *options, "/dev/stdin"],
        input=SECRET,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=env,
    ).stdout


async def _app(flux: Flux, repo: Repo, encrypted: str, keys: dict[str, bytes] | None, **decryption: Any) -> None:
    if keys is not None:
        data = {name: base64.b64encode(value).decode() for name, value in keys.items()}
        names = {"name": "keys", "namespace": flux.namespace}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": names, "data": data}
        await flux.cluster.apply(body, manager="user")
        decryption["secretRef"] = {"name": "keys"}
    repo.push({"s.yaml": encrypted})
    await flux.source(repo)
    await flux.kustomization("app", decryption={"provider": "sops", **decryption})
    await flux.run(patience=1)


async def _password(flux: Flux) -> str:
    found = await flux.get("v1", "Secret", "s")
    assert found is not None, message(await flux.ks("app"))
    return base64.b64decode(found["data"]["password"]).decode()


def _age() -> str:
    keygen = str(binaries.find(binaries.AGE_KEYGEN))
    return subprocess.run([keygen], capture_output=True, text=True, check=True, timeout=60).stdout


# -- PGP ---------------------------------------------------------------------------------------------------------------


def _pgp(home: Path, key: Tsk) -> str:
    ring = home / "pubring.gpg"
    ring.write_bytes(bytes(key.extract_certificate()))
    env = {"GNUPGHOME": str(home), "HOME": str(home), "PATH": os.environ["PATH"], "SOPS_GPG_EXEC": os.devnull}
    return _encrypt("--pgp", key.extract_certificate().fingerprint.upper(), env=env)


async def test_a_pgp_key_decrypts_without_gpg(flux: Flux, repo: Repo, tmp_path: Path) -> None:
    key, other = Tsk.generate("team <team@example.com>"), Tsk.generate("other <other@example.com>")
    keys = {"a.asc": str(other).encode(), "b.asc": str(key).encode()}
    await _app(flux, repo, _pgp(tmp_path, key), keys)
    assert await _password(flux) == PLAIN


async def test_another_pgp_key_does_not(flux: Flux, repo: Repo, tmp_path: Path) -> None:
    key, other = Tsk.generate("team <team@example.com>"), Tsk.generate("other <other@example.com>")
    await _app(flux, repo, _pgp(tmp_path, key), {"a.asc": str(other).encode()})
    assert ready(await flux.ks("app")) == ("False", "BuildFailed")
    assert f"Secret/{flux.namespace}/s cannot be decrypted" in message(await flux.ks("app"))
    assert await flux.get("v1", "Secret", "s") is None


# -- Azure Key Vault ---------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="session")
async def azure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Azure]:
    stub = Azure(tmp_path)
    await stub.start()
    for name, value in stub.environment.items():
        monkeypatch.setenv(name, value)
    trusted = ssl.create_default_context(cafile=str(stub.trust))
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusted)  # made when aiohttp was imported
    identity.credential.cache_clear()
    yield stub
    identity.credential.cache_clear()
    await stub.stop()


async def _vault(azure: Azure) -> str:
    """A Secret encrypted for the key of the vault, by the real sops."""
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **azure.environment}
    env["AZURE_TOKEN_CREDENTIALS"] = "ManagedIdentityCredential"
    text = await asyncio.to_thread(_encrypt, "--azure-kv", f"https://{VAULT}/keys/sops/1", env=env)
    azure.earned.clear()
    return text


async def test_the_managed_identity_of_the_app_opens_a_key_vault(flux: Flux, repo: Repo, azure: Azure) -> None:
    await _app(flux, repo, await _vault(azure), None)
    assert await _password(flux) == PLAIN
    assert azure.unwrapped == ["managed identity"]


async def test_another_managed_identity_is_named_by_its_client_id(flux: Flux, repo: Repo, azure: Azure) -> None:
    await _app(flux, repo, await _vault(azure), {"sops.azure-kv": b"clientId: c1c1c1c1-0000-4000-8000-000000000001"})
    assert await _password(flux) == PLAIN
    assert azure.unwrapped == ["managed identity c1c1c1c1-0000-4000-8000-000000000001"]


async def test_a_service_principal_opens_a_key_vault(flux: Flux, repo: Repo, azure: Azure) -> None:
    principal = f"tenantId: {TENANT}\nclientId: c-2\nclientSecret: right\n".encode()
    await _app(flux, repo, await _vault(azure), {"sops.azure-kv": principal})
    assert await _password(flux) == PLAIN
    assert azure.unwrapped == ["secret of c-2"]


async def test_a_wrong_principal_never_falls_back_to_the_identity_of_the_app(
    flux: Flux, repo: Repo, azure: Azure
) -> None:
    principal = f"tenantId: {TENANT}\nclientId: c-2\nclientSecret: stale-word\n".encode()
    await _app(flux, repo, await _vault(azure), {"sops.azure-kv": principal})
    app = await flux.ks("app")
    assert ready(app) == ("False", "BuildFailed")
    assert azure.earned == []
    assert "stale-word" not in str(app)
    assert "AADSTS7000215" in message(app)


async def test_a_missing_role_is_told(flux: Flux, repo: Repo, azure: Azure) -> None:
    encrypted = await _vault(azure)
    azure.allowed = False
    await _app(flux, repo, encrypted, None)
    assert ready(await flux.ks("app")) == ("False", "BuildFailed")
    assert "not authorized" in message(await flux.ks("app"))


async def test_an_identity_of_its_own_by_a_service_account(flux: Flux, repo: Repo, azure: Azure) -> None:
    flux.configure(object_level_identity=True)
    notes = {"azure.workload.identity/client-id": "c-3"}
    account: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "keys", "namespace": flux.namespace, "annotations": notes},
    }
    await flux.cluster.apply(account, manager="user")
    encrypted = await _vault(azure)
    await _app(flux, repo, encrypted, None, serviceAccountName="keys")
    assert "azure.workload.identity/tenant-id" in message(await flux.ks("app"))
    notes["azure.workload.identity/tenant-id"] = TENANT
    await flux.cluster.apply(account, manager="user")
    await flux.request("Kustomization", "app")
    await flux.run(patience=1)
    assert await _password(flux) == PLAIN
    assert azure.unwrapped[0].startswith("assertion of c-3: eyJ")
    times = len(azure.earned)
    await flux.request("Kustomization", "app")
    await flux.run(patience=1)
    assert ready(await flux.ks("app"))[0] == "True"
    assert len(azure.earned) == times, "a new token is no new input: nothing is built again"


async def test_an_account_for_all_who_name_none(flux: Flux, repo: Repo, azure: Azure) -> None:
    """Flux's `--default-decryption-service-account`: asked for once there is a vault to open, and not before."""
    flux.configure(object_level_identity=True, default_decryption_service_account="keys")
    text = _age()
    recipient = next(line for line in text.splitlines() if "public key" in line).rpartition(" ")[2]
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    await _app(flux, repo, _encrypt("--age", recipient, env=env), {"a.agekey": text.encode()})
    assert await _password(flux) == PLAIN  # although there is no such account
    repo.push({"s.yaml": await _vault(azure)})
    await flux.request("GitRepository", "repo")
    await flux.run(patience=1)
    assert f"service account '{flux.namespace}/keys' not found" in message(await flux.ks("app"))
    notes = {"azure.workload.identity/client-id": "c-4", "azure.workload.identity/tenant-id": TENANT}
    names = {"name": "keys", "namespace": flux.namespace, "annotations": notes}
    await flux.cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": names}, manager="user")
    await flux.request("Kustomization", "app")
    await flux.run(patience=1)
    assert ready(await flux.ks("app"))[0] == "True", message(await flux.ks("app"))
    assert azure.unwrapped[0].startswith("assertion of c-4: eyJ")


async def test_an_identity_of_its_own_has_to_be_allowed_by_the_app(flux: Flux, repo: Repo) -> None:
    await _app(flux, repo, SECRET, None, serviceAccountName="keys")
    assert ready(await flux.ks("app")) == ("False", "FeatureGateDisabled")
    assert "FLUXLESS_OBJECT_LEVEL_IDENTITY" in message(await flux.ks("app"))


async def test_age_identities_of_the_app_serve_everybody(flux: Flux, repo: Repo) -> None:
    text = _age()
    recipient = next(line for line in text.splitlines() if "public key" in line).rpartition(" ")[2]
    data = {"all.agekey": base64.b64encode(text.encode()).decode()}
    names = {"name": "sops-age", "namespace": flux.namespace}
    await flux.cluster.create({"apiVersion": "v1", "kind": "Secret", "metadata": names, "data": data})
    flux.configure(sops_age_secret=f"{flux.namespace}/sops-age")
    await _app(flux, repo, _encrypt("--age", recipient, env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"}), None)
    assert await _password(flux) == PLAIN


def test_the_settings_are_off_by_default() -> None:
    assert not Settings().object_level_identity
    assert not Settings().sops_age_secret
