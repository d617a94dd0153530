"""GitRepository over a real sshd (GR-1, GR-4, GR-7, GR-29), and by proxies."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from tests.support.flux import Flux, message, ready
from tests.support.proxies import proxy
from tests.support.repositories import Repo, config_map
from tools import sshd

GIT = "GitRepository"


class Keys:
    """A key that the server knows, and one that it does not."""

    def __init__(self) -> None:
        self.known = asyncssh.generate_private_key("ssh-ed25519")
        self.other = asyncssh.generate_private_key("ecdsa-sha2-nistp256")

    def text(self, key: asyncssh.SSHKey, passphrase: str | None = None) -> str:
        return key.export_private_key("openssh", passphrase=passphrase).decode()


@pytest.fixture(scope="module")
def keys() -> Keys:
    return Keys()


@pytest.fixture(scope="module")
def server(workshop: Path, keys: Keys) -> Iterator[sshd.Server]:
    folder = workshop / "sshd"
    try:
        yield sshd.start(folder, keys.known.export_public_key().decode())
    except sshd.NotToBeHad as error:
        pytest.skip(f"no sshd here, and no package: {error}")
    finally:
        sshd.stop(folder)


def _over_ssh(repo: Repo, server: sshd.Server) -> str:
    return f"{server.url}{repo.bare}"


async def test_a_key_opens_a_repository(flux: Flux, repo: Repo, server: sshd.Server, keys: Keys) -> None:
    commit = repo.push({"a.yaml": config_map("a"), "large.bin": "0123456789abcdef" * 65536})
    repo.git("tag", "v1.0.0")
    repo.git("push", "--quiet", "--tags", str(repo.bare))
    await flux.secret("plain", {"identity": keys.text(keys.known), "known_hosts": server.known_hosts})
    locked = {"identity": keys.text(keys.known, "open sesame"), "password": "open sesame"}
    await flux.secret("locked", locked | {"known_hosts": server.known_hosts})
    url = _over_ssh(repo, server)
    await flux.source(repo, "plain", url=url, secretRef={"name": "plain"})
    await flux.source(repo, "locked", url=url, secretRef={"name": "locked"}, ref={"semver": "1.x"})
    await flux.source(repo, "commit", url=url, secretRef={"name": "plain"}, ref={"commit": commit})
    await flux.kustomization("app", source="plain")
    await flux.run()
    for name, revision in (("plain", "main@"), ("locked", "v1.0.0@"), ("commit", "")):
        found = await flux.repository(name)
        assert ready(found) == ("True", "Succeeded"), message(found)
        assert found["status"]["artifact"]["revision"] == f"{revision}sha1:{commit}"
    assert await flux.value("a") == "1"


async def test_whoever_is_not_trusted_is_named(flux: Flux, repo: Repo, server: sshd.Server, keys: Keys) -> None:
    repo.push({"a.yaml": config_map("a")})
    good, known = keys.text(keys.known), server.known_hosts
    stranger = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().split()
    wrong_host = f"{known.split()[0]} {stranger[0]} {stranger[1]}\n"
    cases: dict[str, tuple[dict[str, str], str]] = {
        "other-key": ({"identity": keys.text(keys.other), "known_hosts": known}, "refuses the SSH key"),
        "wrong-host": ({"identity": good, "known_hosts": wrong_host}, "is not trusted"),
        "no-host": ({"identity": good, "known_hosts": "example.org ssh-ed25519 AAAA\n"}, "is not trusted"),
        "no-known-hosts": ({"identity": good}, "has no key 'known_hosts', which ssh needs"),
        "no-identity": ({"known_hosts": known}, "has no key 'identity', which ssh needs"),
        "garbage": ({"identity": "garbage", "known_hosts": known}, "cannot be read"),
        "locked": (
            {"identity": keys.text(keys.known, "x"), "known_hosts": known},
            "has an encrypted 'identity' and no",
        ),
        "wrong-word": (
            {"identity": keys.text(keys.known, "x"), "password": "hunter2", "known_hosts": known},
            "does not open its encrypted",
        ),
    }
    for name, (data, _) in cases.items():
        await flux.secret(name, data)
        await flux.source(repo, name, url=_over_ssh(repo, server), secretRef={"name": name})
    await flux.source(repo, "no-secret", url=_over_ssh(repo, server))
    await flux.run(patience=0.3)
    for name, (_, text) in {**cases, "no-secret": ({}, "needs an SSH key")}.items():
        found = await flux.repository(name)
        assert ready(found) == ("False", "AuthenticationFailed"), message(found)
        assert text in message(found), message(found)
        assert "hunter2" not in message(found)


async def test_what_is_not_there_is_said(flux: Flux, repo: Repo, server: sshd.Server, keys: Keys) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.secret("good", {"identity": keys.text(keys.known), "known_hosts": server.known_hosts})
    cases = {
        "no-repository": (f"{server.url}/nowhere.git", "repository not found"),
        "no-server": ("ssh://git@127.0.0.1:9/x.git", "unable to reach"),
    }
    for name, (url, _) in cases.items():
        await flux.source(repo, name, url=url, secretRef={"name": "good"})
    await flux.run(patience=0.3)
    for name, (_, text) in cases.items():
        found = await flux.repository(name)
        assert ready(found) == ("False", "GitOperationFailed"), name
        assert text in message(found), message(found)


@pytest.mark.parametrize("kind", ["http", "socks5"])
@pytest.mark.parametrize("scheme", ["http", "ssh"])
async def test_a_proxy_is_gone_through(
    flux: Flux, repo: Repo, server: sshd.Server, keys: Keys, kind: str, scheme: str
) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.secret("ssh", {"identity": keys.text(keys.known), "known_hosts": server.known_hosts})
    spec: dict[str, Any] = {"url": _over_ssh(repo, server), "secretRef": {"name": "ssh"}} if scheme == "ssh" else {}
    async with proxy(kind, "me", "pa:ss@word") as (address, running):
        await flux.secret("proxy", {"address": address, "username": "me", "password": "pa:ss@word"})
        await flux.source(repo, proxySecretRef={"name": "proxy"}, **spec)
        await flux.run()
        found = await flux.repository()
        assert ready(found) == ("True", "Succeeded"), message(found)
        assert len(running.seen) >= 2
        await flux.secret("proxy", {"address": address, "username": "me", "password": "wrong"})
        await flux.request(GIT, "repo")
        await flux.run(patience=0.3)
        refused = await flux.repository()
        assert ready(refused)[0] == "False"
        assert "wrong" not in message(refused)


async def test_a_proxy_that_cannot_be_used_is_named(flux: Flux, repo: Repo) -> None:
    repo.push({"a.yaml": config_map("a")})
    cases = {
        "no-address": ({"username": "me"}, "has no key 'address'"),
        "bad-address": ({"address": "ftp://x"}, "is no http://, https:// or socks5:// URL"),
        "half": ({"address": "http://127.0.0.1:9", "username": "me"}, "has only one of username and password"),
    }
    for name, (data, _) in cases.items():
        await flux.secret(name, data)
        await flux.source(repo, name, proxySecretRef={"name": name})
    await flux.run(patience=0.3)
    for name, (_, text) in cases.items():
        found = await flux.repository(name)
        assert ready(found) == ("False", "AuthenticationFailed")
        assert text in message(found)


def test_the_real_ssh_agrees_about_the_server(server: sshd.Server, keys: Keys, tmp_path: Path) -> None:
    """What the tests above take for granted."""
    key = tmp_path / "key"
    key.write_text(keys.text(keys.known))
    key.chmod(0o600)
    (tmp_path / "known").write_text(server.known_hosts)
    user, _, place = server.url.removeprefix("ssh://").partition("@")
    host, _, port = place.partition(":")
    options = ["-o", f"UserKnownHostsFile={tmp_path / 'known'}", "-o", "BatchMode=yes", "-i", str(key), "-p", port]
    done = subprocess.run(["ssh", *options, f"{user}@{host}", "true"], capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
