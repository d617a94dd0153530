"""What a remote has: branches, tags and HEAD, by SSH or the smart HTTP protocol (gitprotocol-http, gitprotocol-v2).

Over HTTP one request, and one more the first time that this worker asks a server of version 2. Nothing is downloaded.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fluxless import limits
from fluxless.git import ssh
from fluxless.git.auth import Auth, session
from fluxless.git.errors import AuthenticationRefused, GitProblem, RemoteUnavailable, RepositoryNotFound
from fluxless.transport import read, words

if TYPE_CHECKING:
    import aiohttp


@dataclass(frozen=True, slots=True)
class Refs:
    """Commit by full reference name. `peeled` has the commit behind annotated tags; `head` is the branch of HEAD, and
    `advertised` the server's own words, where they are what a fetch begins with.
    """

    commits: dict[str, str] = field(default_factory=dict)
    peeled: dict[str, str] = field(default_factory=dict)
    head: str = ""
    advertised: bytes = b""

    def commit(self, name: str) -> str | None:
        """The commit of a reference, behind an annotated tag if it is one."""
        return self.peeled.get(name) or self.commits.get(name)


_version_2: OrderedDict[tuple[str, Auth], list[str]] = OrderedDict()
"""The remotes that are known to speak it, with what a question has to repeat of their capabilities. What one says to
somebody, by whatever proxy, is not told to another.
"""
_FORMATS = (b"object-format=sha1", b"object-format=sha256")
KNOWN = 2000


async def ls_remote(url: str, auth: Auth, *, timeout: float, also: str = "", to_fetch: bool = False) -> Refs:
    """Ask the remote for HEAD, branches, tags and the reference `also`; with `to_fetch` in the way in which a fetch
    begins, which tells of all references. Raises `GitProblem`: unknown, refused, not reachable, or no Git server.
    """
    import aiohttp

    if url.startswith("ssh://"):
        said = _packets(await ssh.advertisement(url, auth, timeout=timeout), url)
        return _read_advertisement([line for line in said if line and line != b"version 1"])
    base = url.rstrip("/")
    try:
        async with session(auth, timeout) as http:
            if not to_fetch and (known := _version_2.get((url, auth))) is not None:
                try:
                    if (refs := await _ask(http, base, known, also, url)).commits:
                        return refs
                except RemoteUnavailable:
                    pass
                _version_2.pop((url, auth), None)  # another server by now
            advertised = await _get(http, f"{base}/info/refs?service=git-upload-pack", url, 0 if to_fetch else 2)
            lines = list(_packets(advertised, url))
            if lines and lines[0].startswith(b"# service="):
                lines = lines[1:]
            lines = [line for line in lines if line]
            if not lines or lines[0] != b"version 2":
                found = _read_advertisement([line for line in lines if line != b"version 1"])
                return replace(found, advertised=advertised if to_fetch else b"")
            formats = [line.decode() for line in _FORMATS if line in lines][:1]
            refs = await _ask(http, base, formats, also, url)
            if refs.commits:
                _remember(url, auth, formats)
            return refs
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise _unavailable(url, error, timeout) from error


def _remember(url: str, auth: Auth, formats: list[str]) -> None:
    _version_2[url, auth] = formats
    _version_2.move_to_end((url, auth))
    if len(_version_2) > KNOWN:
        _version_2.popitem(last=False)


def _unavailable(url: str, error: Exception, timeout: float) -> GitProblem:
    said, step = words(error, timeout)
    return RemoteUnavailable(url, said, step)


async def _get(http: aiohttp.ClientSession, url: str, shown: str, version: int) -> bytes:
    async with http.get(url, headers={"Git-Protocol": f"version={version}"} if version else {}) as answer:
        return await _body(answer, shown)


async def _ask(http: aiohttp.ClientSession, base: str, formats: list[str], also: str, shown: str) -> Refs:
    answer = await _post(http, f"{base}/git-upload-pack", _question(formats, also), shown)
    return _read_refs(_packets(answer, shown))


async def _post(http: aiohttp.ClientSession, url: str, body: bytes, shown: str) -> bytes:
    headers = {
        "Git-Protocol": "version=2",
        "Content-Type": "application/x-git-upload-pack-request",
        "Accept": "application/x-git-upload-pack-result",
    }
    async with http.post(url, data=body, headers=headers) as answer:
        return await _body(answer, shown)


async def _body(answer: aiohttp.ClientResponse, shown: str) -> bytes:
    if answer.status in (401, 403):
        raise AuthenticationRefused(shown)
    if answer.status in (404, 410):
        raise RepositoryNotFound(shown)
    if answer.status != 200:
        raise RemoteUnavailable(shown, f"the server answers {answer.status} {answer.reason}")
    if not answer.content_type.startswith("application/x-git-"):
        step = "give the URL of the repository, not of its web page"
        raise RemoteUnavailable(shown, f"the server answers {answer.content_type}, which is not Git", step)
    return await read(answer, limits.REFERENCES)


def _packets(data: bytes, url: str) -> Iterator[bytes]:
    """The pkt-lines of an answer without their newline; flush and delimiter packets are empty."""
    position = 0
    while position < len(data):
        try:
            length = int(data[position : position + 4], 16)
        except ValueError:
            raise RemoteUnavailable(url, "the answer is not in Git's format") from None
        if length < 4:
            position += 4
            yield b""
            continue
        if position + length > len(data):
            raise RemoteUnavailable(url, "the answer ends in the middle")
        yield data[position + 4 : position + length].rstrip(b"\n")
        position += length


def _packet(text: str) -> bytes:
    return f"{len(text) + 5:04x}{text}\n".encode()


def _question(formats: list[str], also: str) -> bytes:
    """`ls-refs` of protocol version 2, in the object format that the server speaks. Some servers have a reference for
    every pull request: they stay where they are.
    """
    head = b"".join(_packet(line) for line in ("command=ls-refs", "agent=fluxless", *formats))
    prefixes = ["HEAD", "refs/heads/", "refs/tags/", *([also] if also else [])]
    body = b"".join(_packet(line) for line in ("peel", "symrefs", *(f"ref-prefix {prefix}" for prefix in prefixes)))
    return head + b"0001" + body + b"0000"


def _read_refs(lines: Iterator[bytes]) -> Refs:
    """`<commit> <name> [symref-target:<name>] [peeled:<commit>]`."""
    refs = Refs()
    head = ""
    for line in lines:
        parts = line.decode(errors="replace").split(" ")
        if len(parts) < 2 or parts[0] == "unborn":
            continue
        refs.commits[parts[1]] = parts[0]
        for attribute in parts[2:]:
            key, _, value = attribute.partition(":")
            if key == "peeled":
                refs.peeled[parts[1]] = value
            elif key == "symref-target" and parts[1] == "HEAD":
                head = value
    return Refs(refs.commits, refs.peeled, head)


def _read_advertisement(lines: list[bytes]) -> Refs:
    """The form of versions 0 and 1: `<commit> <name>`, the first with capabilities, `<tag>^{}` for peeled tags."""
    refs = Refs()
    head = ""
    for number, line in enumerate(lines):
        text, _, capabilities = line.partition(b"\0")
        if number == 0:
            said = [c for c in capabilities.decode(errors="replace").split() if c.startswith("symref=HEAD:")]
            head = said[0].removeprefix("symref=HEAD:") if said else ""
        commit, _, name = text.decode(errors="replace").partition(" ")
        if name.endswith("^{}"):
            if name != "capabilities^{}":
                refs.peeled[name.removesuffix("^{}")] = commit
        elif name:
            refs.commits[name] = commit
    return Refs(refs.commits, refs.peeled, head)
