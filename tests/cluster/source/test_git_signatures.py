"""Signed commits and tags, signed by the real git, gpg and ssh-keygen (GR-8, GR-26)."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.flux import SOURCE, Flux, message, ready
from tests.support.repositories import Repo

pytestmark = pytest.mark.skipif(
    not (shutil.which("gpg") and shutil.which("ssh-keygen")), reason="no gpg or ssh-keygen here"
)


class Signers:
    """Two PGP keys in a keyring of their own, and two SSH keys."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "gnupg"
        self.home.mkdir(mode=0o700)
        self.folder = folder
        for name in ("ann", "bob"):
            self._gpg(
                "--quick-generate-key", "--passphrase", "", f"{name} <{name}@example.org>", "ed25519", "sign", "0"
            )
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
            subprocess.run(command, check=True, timeout=30)

    def _gpg(self, *arguments: str) -> str:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--quiet", "--pinentry-mode", "loopback", *arguments]
        return subprocess.run(command, check=True, timeout=60, capture_output=True, text=True).stdout

    def pgp(self, name: str) -> str:
        return self._gpg("--armor", "--export", f"{name}@example.org")

    def long_id(self, name: str) -> str:
        listed = self._gpg("--with-colons", "--list-keys", f"{name}@example.org")
        return next(line.split(":")[4] for line in listed.splitlines() if line.startswith("pub"))

    def ssh(self, name: str) -> str:
        return (self.folder / f"{name}.pub").read_text()

    def fingerprint(self, name: str) -> str:
        done = subprocess.run(["ssh-keygen", "-lf", str(self.folder / f"{name}.pub")], check=True, capture_output=True)
        return done.stdout.decode().split()[1]

    def options(self, kind: str, name: str) -> list[str]:
        """For git, to sign as somebody."""
        if kind == "ssh":
            return ["-c", "gpg.format=ssh", "-c", f"user.signingkey={self.folder / name}"]
        return ["-c", f"user.signingkey={self.long_id(name)}"]


@pytest.fixture(scope="module")
def signers() -> Iterator[Signers]:
    with tempfile.TemporaryDirectory(prefix="gpg-") as folder:  # its socket needs a short path
        yield Signers(Path(folder))
        subprocess.run(["gpgconf", "--homedir", f"{folder}/gnupg", "--kill", "all"], check=False, timeout=30)


def _commit(repo: Repo, signers: Signers, kind: str, name: str) -> str:
    home = str(signers.home)
    repo.git(*signers.options(kind, name), "commit", "--allow-empty", "-q", "-S", "-m", "signed", GNUPGHOME=home)
    repo.git("push", "--quiet", str(repo.bare), "main")
    return repo.git("rev-parse", "HEAD").strip()


def _tag(repo: Repo, signers: Signers, kind: str, name: str, tag: str) -> str:
    repo.git(*signers.options(kind, name), "tag", "-s", "-m", "signed", tag, GNUPGHOME=str(signers.home))
    repo.git("push", "--quiet", str(repo.bare), "main", tag)
    return repo.git("rev-parse", tag).strip()


@pytest.mark.parametrize("kind", ["pgp", "ssh"])
async def test_commits_and_tags_are_verified(flux: Flux, repo: Repo, signers: Signers, kind: str) -> None:
    repo.push({"a.yaml": "a"})
    commit = _commit(repo, signers, kind, "ann")
    tag = _tag(repo, signers, kind, "bob", "v1.0.0")
    if kind == "pgp":
        keys = {"ann.asc": signers.pgp("ann"), "bob": signers.pgp("bob")}
        ann, bob = signers.long_id("ann"), signers.long_id("bob")
    else:
        keys = {"ann.sshpub": signers.ssh("ann"), "bob.sshpub": f"# Bob\n{signers.ssh('bob')}"}
        ann, bob = signers.fingerprint("ann"), signers.fingerprint("bob")
    await flux.secret("both", keys)
    await flux.secret("ann", dict([next(iter(keys.items()))]))
    for mode in ("HEAD", "Tag", "TagAndHEAD"):
        verify = {"mode": mode, "secretRef": {"name": "both"}}
        await flux.source(repo, mode.lower(), ref={"tag": "v1.0.0"}, verify=verify)
    await flux.source(repo, "stranger", ref={"tag": "v1.0.0"}, verify={"mode": "Tag", "secretRef": {"name": "ann"}})
    await flux.source(repo, "no-tag", verify={"mode": "Tag", "secretRef": {"name": "both"}})
    await flux.run(patience=0.3)
    of_commit = f"commit '{commit}' with key '{ann}'"
    of_tag = f"tag 'v1.0.0@{tag}' with key '{bob}'"
    expected = {"head": [of_commit], "tag": [of_tag], "tagandhead": [of_tag, of_commit]}
    for name, lines in expected.items():
        found = await flux.repository(name)
        assert ready(found) == ("True", "Succeeded"), message(found)
        assert message(found, "SourceVerified") == "verified signature of" + "".join(f"\n\t- {line}" for line in lines)
        assert found["status"]["sourceVerificationMode"].lower() == name
    stranger = await flux.repository("stranger")
    assert ready(stranger) == ("False", "InvalidTagSignature")
    assert "unable to verify payload with any of the given" in message(stranger)
    assert not stranger["status"].get("artifact")
    assert ready(await flux.repository("no-tag")) == ("False", "InvalidVerificationMode")
    assert message(await flux.repository("no-tag"), "Stalled") != "None"


async def test_what_is_not_signed_well_is_refused(flux: Flux, repo: Repo, signers: Signers) -> None:
    repo.push({"a.yaml": "a"})
    repo.git("tag", "-a", "-m", "unsigned", "v1.0.0")
    repo.git("tag", "light")
    repo.git("push", "--quiet", "--tags", str(repo.bare))
    await flux.secret("pgp", {"ann.asc": signers.pgp("ann")})
    await flux.secret("ssh", {"ann.sshpub": signers.ssh("ann")})
    await flux.secret("garbage", {"ann.asc": "garbage"})
    head, tag = {"mode": "HEAD"}, {"mode": "Tag"}
    await flux.source(repo, "unsigned", verify=head | {"secretRef": {"name": "pgp"}})
    await flux.source(repo, "tag", ref={"tag": "v1.0.0"}, verify=tag | {"secretRef": {"name": "pgp"}})
    await flux.source(repo, "light", ref={"tag": "light"}, verify=tag | {"secretRef": {"name": "pgp"}})
    await flux.source(repo, "no-secret", verify=head | {"secretRef": {"name": "none"}})
    await flux.run(patience=0.3)
    await flux.patch(SOURCE, "GitRepository", "unsigned", {"spec": {"suspend": True}})
    _commit(repo, signers, "pgp", "ann")
    await flux.source(repo, "other-kind", verify=head | {"secretRef": {"name": "ssh"}})
    await flux.source(repo, "garbage", verify=head | {"secretRef": {"name": "garbage"}})
    await flux.run(patience=0.3)
    expected = {
        "unsigned": ("InvalidCommitSignature", "it is not signed"),
        "tag": ("InvalidGitObject", "since it is not signed"),
        "light": ("InvalidVerificationMode", "if a tag reference is not specified"),
        "no-secret": ("VerificationError", "public keys secret error"),
        "other-kind": ("InvalidCommitSignature", "PGP signature detected but no PGP public keys found in secret"),
        "garbage": ("InvalidCommitSignature", "key 'ann.asc' of the secret is no OpenPGP keyring"),
    }
    for name, (reason, text) in expected.items():
        found = await flux.repository(name)
        assert ready(found) == ("False", reason), message(found)
        assert text in message(found, "SourceVerified"), message(found)


async def test_a_commit_that_was_changed_after_it_was_signed(flux: Flux, repo: Repo, signers: Signers) -> None:
    repo.push({"a.yaml": "a"})
    for kind in ("pgp", "ssh"):
        commit = _commit(repo, signers, kind, "ann")
        raw = repo.git("cat-file", "commit", commit).replace("signed", "forged")
        (signers.folder / "raw").write_text(raw)
        forged = repo.git("hash-object", "-t", "commit", "-w", str(signers.folder / "raw")).strip()
        repo.git("push", "--quiet", "--force", str(repo.bare), f"{forged}:refs/heads/{kind}")
    await flux.secret("keys", {"ann.asc": signers.pgp("ann"), "ann.sshpub": signers.ssh("ann")})
    for kind in ("pgp", "ssh"):
        await flux.source(repo, kind, ref={"branch": kind}, verify={"mode": "HEAD", "secretRef": {"name": "keys"}})
    await flux.run(patience=0.3)
    for kind in ("pgp", "ssh"):
        found = await flux.repository(kind)
        assert ready(found) == ("False", "InvalidCommitSignature"), message(found)


async def test_verification_that_comes_later_is_done_and_then_removed(flux: Flux, repo: Repo, signers: Signers) -> None:
    repo.push({"a.yaml": "a"})
    _commit(repo, signers, "ssh", "ann")
    await flux.source(repo)
    await flux.run()
    await flux.secret("keys", {"ann.sshpub": signers.ssh("ann")})
    await flux.source(repo, verify={"mode": "head", "secretRef": {"name": "keys"}})
    await flux.run()
    found = await flux.repository()
    assert "verified signature of" in message(found, "SourceVerified")
    assert found["status"]["sourceVerificationMode"] == "HEAD"
    await flux.patch(SOURCE, "GitRepository", "repo", {"spec": {"verify": None}})
    await flux.run()
    found = await flux.repository()
    assert message(found, "SourceVerified") == "None"
    assert "sourceVerificationMode" not in found["status"]
