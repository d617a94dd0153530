"""What we spawn: the only room that starts processes. Callers are `render/`; nothing here knows what a binary means."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.fair_slots import FairSlots
from fluxless.limits import PROCESS_SLOTS

_slots = FairSlots(PROCESS_SLOTS)
_NOT_STARTED = 66
"""The launcher's exit code when there is nothing that it could become."""
NICE = 10
"""Of what we start: the worker itself, which all tenants share, goes first."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A process that has ended: its exit code and what it wrote."""

    code: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """What a process, and each that it starts, may take: `memory` in bytes of address space (a Go program takes 0.7 GiB
    before it does anything), `cpu` in seconds, `file` in bytes of one file.
    """

    memory: int
    cpu: int
    file: int


class ProcessProblem(Problem):
    """The process could not be started, took too long or wrote too much."""

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(Failure(FailureClass.INTERNAL, message, next_step=next_step))


async def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    timeout: float,
    max_output: int = 256 * 1024 * 1024,
    slot: bool = True,
    limits: Limits | None = None,
    launcher: Path | None = None,
) -> Finished:
    """Run to the end within `timeout` seconds, `max_output` bytes and the `limits`, else kill the whole process group.

    Without a `slot` the caller sees to it that there are not too many. The environment is exactly `env`: nothing of
    ours leaks into a child. By our build program as the `launcher` it ends with us even if we are killed (on Linux).
    Raises `ProcessProblem`.
    """
    async with _slots.taken() if slot else contextlib.nullcontext():
        return await _run(argv, cwd, env, stdin, timeout, max_output, limits, launcher)


async def _run(
    argv: Sequence[str | Path],
    cwd: Path | None,
    env: Mapping[str, str] | None,
    stdin: bytes,
    timeout: float,
    max_output: int,
    limits: Limits | None,
    launcher: Path | None,
) -> Finished:
    name = Path(argv[0]).name
    if launcher is not None:
        argv = [launcher, "exec", str(os.getpid()), *argv]
    try:
        process = await asyncio.create_subprocess_exec(
            *(str(argument) for argument in argv),
            cwd=cwd,
            env=dict(env or {}),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise ProcessProblem(f"{name} cannot be started: {error.strerror}") from error
    try:
        _behind(process.pid)
        if limits is not None:
            _bound(process.pid, limits)
        async with asyncio.timeout(timeout):
            stdout, stderr, _ = await asyncio.gather(
                _read(process.stdout, max_output, name),
                _read(process.stderr, max_output, name),
                _write(process.stdin, stdin),
            )
            code = await process.wait()
    except TimeoutError:
        raise ProcessProblem(f"{name} took longer than {timeout:.0f} s", "raise spec.timeout, or build less") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if launcher is not None and code == _NOT_STARTED:
        raise ProcessProblem(f"{name} cannot be started: {stderr.decode(errors='replace').strip()}")
    if limits is not None and code != 0:
        _explain(name, code, stderr, limits)
    return Finished(code, stdout, stderr)


def _behind(pid: int) -> None:
    """Builds must not keep the worker itself from its work."""
    with contextlib.suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, pid, NICE)


def _bound(pid: int, limits: Limits) -> None:
    """From outside, right after the start: nothing of ours may run between fork and exec in a program with threads."""
    wanted = (
        (resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_CPU, limits.cpu),
        (resource.RLIMIT_FSIZE, limits.file),
    )
    with contextlib.suppress(ProcessLookupError):  # it has ended already
        for what, most in (*wanted, (resource.RLIMIT_CORE, 0)):
            resource.prlimit(pid, what, (most, most))


def _explain(name: str, code: int, stderr: bytes, limits: Limits) -> None:
    """Raises `ProcessProblem` when a limit has ended the process."""
    if any(words in stderr for words in _NO_MEMORY):
        raise ProcessProblem(f"{name} needs more than {limits.memory >> 20} MiB of memory", "split what it renders")
    if code in {-signal.SIGKILL, -signal.SIGXCPU}:
        raise ProcessProblem(f"{name} computed for more than {limits.cpu} s", "split what it renders")
    if code == -signal.SIGXFSZ or b"file too large" in stderr:
        raise ProcessProblem(f"{name} wrote a file of more than {limits.file >> 20} MiB", "split what it renders")


_NO_MEMORY = (b"out of memory", b"cannot allocate memory", b"failed to reserve page summary memory")
"""How Go's runtime says that it got none."""


async def _read(stream: asyncio.StreamReader | None, limit: int, name: str) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while stream is not None and (chunk := await stream.read(1 << 16)):
        size += len(chunk)
        if size > limit:
            raise ProcessProblem(f"{name} wrote more than {limit // 1024 // 1024} MiB", "split the path into several")
        chunks.append(chunk)
    return b"".join(chunks)


async def _write(stream: asyncio.StreamWriter | None, data: bytes) -> None:
    if stream is None:
        return
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stream.write(data)
        await stream.drain()
    stream.close()


class Ended(Exception):
    """A process that should have answered has ended; `code` is its exit code, negative for a signal."""

    def __init__(self, code: int) -> None:
        super().__init__(f"it ended with {code}")
        self.code = code


_LENGTH = struct.Struct(">I")


class Conversation:
    """A process that answers one question after another, over a socket that is its standard input and output.

    Questions and answers are a length of four bytes, big end first, and as many bytes. It has no environment, it works
    in `/`, and what it says on standard error is lost. The socket ends with us, and then the process ends itself.
    Any event loop may ask, one at a time.
    """

    def __init__(self, argv: Sequence[str | Path]) -> None:
        """Start it. Raises `ProcessProblem`."""
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        try:
            self._process = subprocess.Popen(
                [str(argument) for argument in argv],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={},
                start_new_session=True,
            )
        except OSError as error:
            self._socket.close()
            raise ProcessProblem(f"{Path(argv[0]).name} cannot be started: {error.strerror}") from error
        finally:
            theirs.close()
        _behind(self._process.pid)

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    async def ask(self, question: bytes | None, *, timeout: float, at_most: int) -> bytes:
        """The next answer; without a question, what it says unasked. Whatever goes wrong, the process is killed.

        Raises `Ended`, TimeoutError after so many seconds, and ValueError for an answer of more bytes.
        """
        try:
            async with asyncio.timeout(timeout):
                return await self._exchange(question, at_most)
        except (EOFError, ConnectionError):
            raise Ended(await asyncio.to_thread(self._process.wait)) from None
        except BaseException:
            self.kill()
            raise

    async def _exchange(self, question: bytes | None, at_most: int) -> bytes:
        loop = asyncio.get_running_loop()
        if question is not None:
            await loop.sock_sendall(self._socket, _LENGTH.pack(len(question)) + question)
        (size,) = _LENGTH.unpack(await self._receive(_LENGTH.size))
        if size > at_most:
            raise ValueError(f"an answer of {size} bytes")
        return await self._receive(size)

    async def _receive(self, size: int) -> bytes:
        data = bytearray(size)
        rest = memoryview(data)
        while rest:
            count = await asyncio.get_running_loop().sock_recv_into(self._socket, rest)
            if not count:
                raise EOFError
            rest = rest[count:]
        return bytes(data)

    def kill(self) -> None:
        """End it; it is waited for when the next process starts, if it is not gone at once."""
        self._socket.close()
        self._process.kill()
        self._process.poll()
