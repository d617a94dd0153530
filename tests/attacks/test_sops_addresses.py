"""An encrypted file says itself who holds its keys: sops asks nobody near the app for them, and runs nothing."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from fluxless import addresses
from fluxless.api.failure import Problem
from fluxless.process import Limits, ProcessProblem
from fluxless.render import sops
from fluxless.render.key_services import NotAKeyService, judge
from fluxless.render.keys import Keys
from fluxless.render.sops import DecryptionFailed, decrypt
from tests.support import serving
from tests.support.proxies import Proxy
from tests.support.tls import Authority

VALUE = (
    "ENC[AES256_GCM,data:AAAA,iv:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,tag:AAAAAAAAAAAAAAAAAAAAAA==,type:str]"
)
TOKEN = Keys.of_secret({"sops.vault-token": b"token"}, "n/s")


@pytest_asyncio.fixture(loop_scope="session")
async def neighbour() -> AsyncIterator[tuple[int, list[bytes]]]:
    """Something that listens near the app, and what it was sent; it answers as a vault does."""
    body = json.dumps({"data": {"plaintext": base64.b64encode(bytes(32)).decode()}}).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
    async with serving.neighbour(head + body) as found:
        yield found


def document(**keys: Any) -> bytes:
    about = {"lastmodified": "2026-01-01T00:00:00Z", "mac": VALUE, "version": "3.9.0"}
    return json.dumps({"a": VALUE, "sops": {**about, **keys}}).encode()


def vault(address: str) -> dict[str, Any]:
    entry = {"vault_address": address, "engine_path": "host", "key_name": "keys", "enc": "vault:v1:AAAA"}
    return {"hc_vault": [{**entry, "created_at": "2026-01-01T00:00:00Z"}]}


@pytest.mark.parametrize("keys", [Keys(), TOKEN], ids=["without a token", "with a token"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_no_vault_is_asked_near_the_app(
    neighbour: tuple[int, list[bytes]], strict: None, keys: Keys, host: str
) -> None:
    port, heard = neighbour
    with pytest.raises(DecryptionFailed, match="is not allowed" if keys is TOKEN else "without a token"):
        await decrypt(document(**vault(f"http://{host}:{port}/admin")), "json", keys, "x.json")
    assert heard == []


async def test_a_refused_address_is_named_with_what_lifts_it(neighbour: tuple[int, list[bytes]], strict: None) -> None:
    port, _ = neighbour
    with pytest.raises(DecryptionFailed, match=r"address 127\.0\.0\.1 is not allowed") as caught:
        await decrypt(document(**vault(f"http://127.0.0.1:{port}")), "json", TOKEN, "x.json")
    assert addresses.SETTING in caught.value.failures[0].next_step


async def test_a_vault_whose_address_is_allowed_is_asked_with_the_token(
    neighbour: tuple[int, list[bytes]],
) -> None:
    port, heard = neighbour
    with pytest.raises(DecryptionFailed, match="decrypt"):  # the key is not that of the value
        await decrypt(document(**vault(f"http://127.0.0.1:{port}")), "json", TOKEN, "x.json")
    assert heard[0].startswith(b"PUT /v1/host/decrypt/keys ")
    assert b"X-Vault-Token: token" in heard[0].title().replace(b"Token: Token", b"Token: token")


@pytest_asyncio.fixture(loop_scope="session")
async def stranger(
    tmp_path: Path, neighbour: tuple[int, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[bytes]]:
    """Every host of the internet, by the app's own proxy: it answers that the vault is near the app. What it heard."""
    authority, heard = Authority(tmp_path), []
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    where = f"http://127.0.0.1:{neighbour[0]}/admin"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readline())
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 307 Away\r\nLocation: {where}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()
        writer.close()

    hosts = ("evil.example", "keys.vault.azure.net")
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=authority.server_context(names=hosts))

    proxy = Proxy("http", leads_to=server.sockets[0].getsockname()[1])
    monkeypatch.setenv("HTTPS_PROXY", await proxy.start())
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    yield heard
    proxy.stop()
    server.close()


def azure(host: str) -> dict[str, Any]:
    entry = {"vault_url": f"https://{host}", "name": "k", "version": "1", "enc": "AAAA"}
    return {"azure_kv": [{**entry, "created_at": "2026-01-01T00:00:00Z"}]}


async def test_a_key_vault_is_a_key_vault_and_leads_nowhere_else(
    neighbour: tuple[int, list[bytes]], stranger: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Go's HTTP follows what a host answers, and goes by no proxy to 127.0.0.1."""
    monkeypatch.setattr(sops, "SOPS_TIME", 3)  # the SDK tries for nine seconds
    with pytest.raises(DecryptionFailed, match=r"evil\.example is not allowed"):
        await decrypt(document(**azure("evil.example")), "json", Keys(), "x.json")
    assert (stranger, neighbour[1]) == ([], [])


AWS = Keys.of_secret({"sops.aws-kms": b"aws_access_key_id: AK\naws_secret_access_key: x"}, "n/s")
STAMP = "2026-01-01T00:00:00Z"
HERE = "127.0.0.1:{port}"
ENTRIES: dict[str, dict[str, Any]] = {
    "vault": {"azure_kv": [{"vault_url": f"https://{HERE}", "name": "k", "version": "1", "enc": "AQIC"}]},
    "vault-localhost": {"azure_kv": [{"vault_url": "https://localhost:{port}/x?", "name": "k", "enc": "AQIC"}]},
    "vault-user": {"azure_kv": [{"vault_url": f"https://x.vault.azure.net@{HERE}", "name": "k", "enc": "AQIC"}]},
    "region": {"kms": [{"arn": f"arn:aws:kms:x@{HERE}/#:123456789012:key/abc", "enc": "AQIC"}]},
    "long-region": {"kms": [{"arn": f"arn:aws:kms:us-east-1@{HERE}/#:1:key/x:2:key/y", "enc": "AQIC"}]},
}


def _flat(value: Any, path: str = "") -> dict[str, str]:
    """As sops writes what is in each other where there are only lines."""
    inner: dict[str, Any] = {}
    if isinstance(value, dict):
        inner = {f"{path}__map_{key}" if path else key: each for key, each in value.items()}
    elif isinstance(value, list):
        inner = {f"{path}__list_{number}": each for number, each in enumerate(value)}
    else:
        return {path: str(value)}
    return {name: text for place, each in inner.items() for name, text in _flat(each, place).items()}


def _written(form: str, keys: dict[str, Any]) -> bytes:
    about = {"lastmodified": STAMP, "mac": VALUE, "version": "3.9.0", **keys}
    if form == "dotenv":
        return "\n".join([f"a={VALUE}", *(f"sops_{key}={value}" for key, value in _flat(about).items())]).encode()
    if form == "ini":
        return "\n".join(["[x]", f"a = {VALUE}", "[sops]", *(f"{k} = {v}" for k, v in _flat(about).items())]).encode()
    if form == "yaml":
        return f"a: {VALUE}\nsops: {json.dumps(about)}\n".encode()
    return json.dumps({"data": VALUE, "sops": about}).encode()


@pytest.mark.parametrize("group", [False, True], ids=["plain", "key-groups"])
@pytest.mark.parametrize("form", ["yaml", "json", "binary", "dotenv", "ini"])
@pytest.mark.parametrize("entry", ENTRIES)
async def test_no_key_service_is_on_the_app_itself(
    neighbour: tuple[int, list[bytes]], monkeypatch: pytest.MonkeyPatch, entry: str, form: str, group: bool
) -> None:
    started: list[str] = []
    monkeypatch.setattr(sops, "binary", started.append)
    keys = json.loads(json.dumps(ENTRIES[entry]).replace("{port}", str(neighbour[0])))
    for each in next(iter(keys.values())):
        each["created_at"] = STAMP
    data = _written(form, {"key_groups": [keys]} if group else keys)
    with pytest.raises(DecryptionFailed, match="is not allowed"):
        await decrypt(data, form, AWS, "x")
    assert (neighbour[1], started) == ([], [])


BAD = "https://127.0.0.1:9"
GOOD = "https://x.vault.azure.net"
ODD = {
    "case": ("json", '{"SOPS": {"Azure_KV": [{"VAULT_URL": "BAD"}]}}'),
    "fold": ("json", '{"\\u017fops": {"azure_\\u212av": [{"vault_url": "BAD"}]}}'),
    "twice": ("json", '{"sops": {"azure_kv": [{"vault_url": "BAD", "vault_url": "GOOD"}]}, "sops": {}}'),
    "escape": ("json", '{"sops": {"azure_kv": [{"vault\\u005furl": "BAD"}]}}'),
    "deep": ("json", "[" * 100_000),
    "merge": ("yaml", "sops:\n  azure_kv:\n  - vault_url: BAD\n    <<: {vault_url: GOOD}\n"),
    "alias": ("yaml", "x: &x {azure_kv: [{vault_url: 'BAD'}]}\nsops: *x\n"),
    "tag": ("yaml", "sops:\n  azure_kv:\n  - vault_url: !!binary aHR0cHM6Ly8xMjcuMC4wLjE6OQ==\n"),
    "tagged-key": ("yaml", "!!binary c29wcw==: {azure_kv: [{vault_url: 'BAD'}]}\nsops: {}\n"),
    "empty-key": ("yaml", "'': x\nsops: {'': [], azure_kv: [{'': x, vault_url: 'BAD'}]}\n"),
    "after-a-list": ("yaml", "a: [[{b: c}], d]\nsops: {age: [], azure_kv: [{name: [x], vault_url: 'BAD'}]}\n"),
    "broken": ("yaml", "sops: [\n"),
    "quoted-key": ("ini", '[sops]\n"azure_kv__list_0__map_vault_url" = BAD\n'),
    "variable": ("ini", "[sops]\nazure_kv__list_0__map_vault_url = https://%(x)s\nx = 127.0.0.1\n"),
    "two-lines": ("ini", "[sops]\nazure_kv__list_0__map_vault_url = https://\\\n127.0.0.1:9\n"),
    "upper": ("dotenv", "sops_azure_kv__list_0__map_VAULT_URL=BAD\n"),
}


@pytest.mark.parametrize("name", ODD)
def test_nothing_hides_a_key_service(name: str) -> None:
    form, text = ODD[name]
    text = text.replace("BAD", BAD).replace("GOOD", GOOD)
    with pytest.raises(NotAKeyService):
        judge(text.encode(), form)


@pytest.mark.parametrize("form", ["yaml", "json", "binary", "dotenv", "ini"])
def test_what_sops_writes_is_let_through(form: str) -> None:
    """So that the refusals above are of what they name."""
    arn = "arn:aws-us-gov:kms:us-gov-west-1:123456789012:alias/my_key/a"
    vault = {"vault_url": f"{GOOD}/", "name": "k", "version": "1", "created_at": STAMP, "enc": "AAAA"}
    keys = {"azure_kv": [vault], "kms": [{"arn": arn, "created_at": STAMP, "enc": "A", "aws_profile": ""}]}
    judge(_written(form, keys), form)
    judge(_written(form, {"key_groups": [keys, {"age": [{"recipient": "age1", "enc": "x"}]}]}), form)
    judge(b"arn: arn:aws:iam::1:role/x\nsops: {age: []}\nwarn: {arn: x}\n", "yaml")


def test_a_credential_of_google_names_no_other_domain() -> None:
    said = {"type": "service_account", "private_key": "k", "universe_domain": "x@127.0.0.1:7071/#"}
    with pytest.raises(Problem, match="universe_domain"):
        Keys.of_secret({"sops.gcp-kms": json.dumps(said).encode()}, "n/s")


def test_a_credential_of_google_names_no_address() -> None:
    said = {
        "type": "service_account",
        "private_key": "k",
        "client_email": "e",
        "token_uri": "http://127.0.0.1:7071/admin",
    }
    keys = Keys.of_secret({"sops.gcp-kms": json.dumps(said).encode()}, "n/s")
    assert "127.0.0.1" not in dict(keys.environment)["GOOGLE_CREDENTIALS"]


async def test_sops_finds_no_program_and_no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = tmp_path / "ran"
    for name in ("age-plugin-x", "gpg", "gpg-agent"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho $0 >> {ran}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    entries = {"pgp": [{"fp": "A" * 40, "enc": "x", "created_at": "2026-01-01T00:00:00Z"}]}
    with pytest.raises(DecryptionFailed):
        await decrypt(document(**entries), "json", Keys(age=PLUGIN), "x.json")
    assert not ran.exists()


PLUGIN = "AGE-PLUGIN-X-1Q9QQQQQQQQQQ"


async def test_a_file_with_more_keys_than_anybody_has_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sops, "LIMITS", Limits(sops.LIMITS.memory, 1, sops.LIMITS.file))
    monkeypatch.setattr(sops, "SOPS_TIME", 5)
    groups = [{"age": [{"recipient": "age1x", "enc": "x" * 300}] * 2000} for _ in range(5)]
    with pytest.raises((DecryptionFailed, ProcessProblem)):
        await decrypt(document(key_groups=groups, shamir_threshold=5), "json", Keys(), "x.json")


async def test_an_alias_bomb_ends() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises((DecryptionFailed, ProcessProblem)):
        await decrypt(
            "\n".join([*lines, f"sops: {json.dumps(json.loads(document())['sops'])}"]).encode(),
            "yaml",
            Keys(),
            "x.yaml",
        )
