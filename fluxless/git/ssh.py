"""Git over SSH: `git-upload-pack` on the other side, by asyncssh, with the host key that `known_hosts` demands (GR-29).

libgit2 cannot be told whose host key to trust, so it speaks Git's own plain protocol to a door on 127.0.0.1, and the
door speaks SSH. The door's path is a random token, it opens for one fetch and knows one remote.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shlex
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from fluxless import limits
from fluxless.api.failure import FailureClass
from fluxless.git.auth import Auth, SecretProblem
from fluxless.git.errors import GitProblem, RemoteUnavailable, RepositoryNotFound, public
from fluxless.git.relay import Door
from fluxless.transport import words

if TYPE_CHECKING:
    import asyncssh

WORDS_LIMIT = 4096
CHUNK = 1 << 16
_MISSING = ("not found", "does not exist", "does not appear to be a git repository", "could not find")


class HostKeyRefused(GitProblem):
    """The server is not the one that `known_hosts` names."""

    def __init__(self, url: str, words: str) -> None:
        step = (
            "put the server's key into known_hosts of the Secret of spec.secretRef (`ssh-keyscan <host>`), once checked"
        )
        super().__init__(f"host key of '{public(url)}' is not trusted: {words}", step, FailureClass.SOURCE_AUTH)


class KeyRefused(GitProblem):
    """The server does not want the private key."""

    def __init__(self, url: str) -> None:
        step = "add the public key of 'identity' to the repository's deploy keys"
        super().__init__(f"'{public(url)}' refuses the SSH key", step, FailureClass.SOURCE_AUTH)


@contextlib.asynccontextmanager
async def _connected(url: str, auth: Auth, timeout: float) -> AsyncIterator[asyncssh.SSHClientConnection]:
    import asyncssh

    from fluxless.connections import dial, through

    parts = urlsplit(url)
    if not auth.identity:
        step = "set spec.secretRef to a Secret with the keys identity and known_hosts"
        raise GitProblem(f"'{public(url)}' needs an SSH key", step, FailureClass.SOURCE_AUTH)
    try:
        key = asyncssh.import_private_key(auth.identity, passphrase=auth.password or None)
        hosts = asyncssh.import_known_hosts(auth.known_hosts.decode())
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError) as error:
        if isinstance(error, asyncssh.KeyEncryptionError) or (auth.password and "passphrase" in str(error).lower()):
            raise SecretProblem("", "has a 'password' that does not open its encrypted 'identity'") from None
        if "passphrase" in str(error).lower():
            raise SecretProblem("", "has an encrypted 'identity' and no 'password'") from None
        raise SecretProblem("", f"holds an identity or known_hosts that cannot be read: {error}") from None
    host, port = parts.hostname or "", parts.port or 22
    if auth.proxy is None:
        sock = await dial(host, port, timeout=timeout)
    elif auth.proxy.address.startswith("https://"):
        step = "give an http or socks5 proxy in the Secret of spec.proxySecretRef"
        raise GitProblem(f"'{public(url)}' cannot be reached by an https proxy", step, FailureClass.VALIDATION)
    else:
        sock = await through(auth.proxy, host, port, timeout=timeout)
    connection = await asyncssh.connect(
        host,
        port,
        sock=sock,
        username=unquote(parts.username or "git"),
        client_keys=[key],
        known_hosts=hosts,
        agent_path=None,
        config=None,
        password=None,
        preferred_auth=("publickey",),
        login_timeout=timeout,
    )
    async with connection:
        yield connection


@contextlib.asynccontextmanager
async def _session(url: str, auth: Auth, timeout: float) -> AsyncIterator[asyncssh.SSHClientProcess[bytes]]:
    """`git-upload-pack` for the repository. Raises `GitProblem`."""
    import asyncssh

    path = unquote(urlsplit(url).path)
    try:
        async with _connected(url, auth, timeout) as connection:
            process = await connection.create_process(f"git-upload-pack {shlex.quote(path)}", encoding=None)
            async with process:
                yield process
    except asyncssh.HostKeyNotVerifiable as error:
        raise HostKeyRefused(url, str(error.reason)) from error
    except asyncssh.PermissionDenied as error:
        raise KeyRefused(url) from error
    except asyncssh.Error as error:
        raise RemoteUnavailable(url, str(error) or type(error).__name__) from error
    except OSError as error:
        raise RemoteUnavailable(url, *words(error, timeout)) from error


async def advertisement(url: str, auth: Auth, *, timeout: float) -> bytes:
    """What the server says first: its references, as pkt-lines up to the flush packet. Raises `GitProblem`."""
    try:
        async with asyncio.timeout(timeout), _session(url, auth, timeout) as process:
            data = await _until_flush(process.stdout)
            if data:
                process.stdin.write(b"0000")
                return data
            said = (await process.stderr.read(WORDS_LIMIT)).decode(errors="replace").strip()
            raise refusal(url, said)
    except TimeoutError:
        raise RemoteUnavailable(url, f"no answer within {timeout:.0f} s", "raise spec.timeout, or check it") from None


def refusal(url: str, said: str) -> GitProblem:
    """What a server means that talks instead of Git."""
    if any(word in said.lower() for word in _MISSING):
        return RepositoryNotFound(url)
    return RemoteUnavailable(url, said[:500] or "the server closes the connection")


async def _until_flush(stream: asyncssh.SSHReader[bytes]) -> bytes:
    data = bytearray()
    try:
        while len(data) < limits.REFERENCES:
            head = await stream.readexactly(4)
            data += head
            length = int(head, 16)
            if length < 4:
                return bytes(data)
            data += await stream.readexactly(length - 4)
    except (asyncio.IncompleteReadError, ValueError):
        return b""
    return b""


@contextlib.asynccontextmanager
async def relay(url: str, auth: Auth, *, timeout: float) -> AsyncIterator[Door]:
    """The door, open while the context lasts."""
    door = Door()
    token = secrets.token_urlsafe(24)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            length = int(await reader.readexactly(4), 16)
            asked = await reader.readexactly(max(0, length - 4))
            if not secrets.compare_digest(asked.split(b"\0")[0], f"git-upload-pack /{token}".encode()):
                return
            async with _session(url, auth, timeout) as process, asyncio.TaskGroup() as both:
                both.create_task(_up(reader, process))
                both.create_task(_down(process, writer))
        except* GitProblem as problems:
            door.problem = next(one for one in problems.exceptions if isinstance(one, GitProblem))
        except* (OSError, asyncio.IncompleteReadError, ValueError):
            pass  # libgit2 sees a connection that ends
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        door.url = f"git://127.0.0.1:{server.sockets[0].getsockname()[1]}/{token}"
        yield door
    finally:
        server.close()


async def _up(reader: asyncio.StreamReader, process: asyncssh.SSHClientProcess[bytes]) -> None:
    while data := await reader.read(CHUNK):
        process.stdin.write(data)
        await process.stdin.drain()
    process.stdin.write_eof()


async def _down(process: asyncssh.SSHClientProcess[bytes], writer: asyncio.StreamWriter) -> None:
    while data := await process.stdout.read(CHUNK):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
