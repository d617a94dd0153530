"""Packs of Git whose few kilobytes, or megabytes, stand for gigabytes and for minutes: libgit2 has to make an object
before it knows how large it is. It does so in a process of its own, which ends; the worker grows by nothing.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from fluxless.fair_slots import tenant
from fluxless.git import objects
from fluxless.git.auth import Auth
from fluxless.git.errors import GitProblem
from fluxless.git.fetch import fetched, in_thread
from fluxless.limits import FETCH_SLOTS
from fluxless.process import Conversation
from fluxless.process_pool import ProcessPools
from tests.support.packs import BLOB, MOST, Pack, copies, entry, served, zeros
from tests.support.repositories import Repo
from tools.places import ROOT

MIB = 1 << 20
LARGE = 120 * MOST
"""1.9 GiB: what libgit2 still takes for an object."""


def _delta(pack: Pack) -> None:
    pack.delta(pack.blob(bytes(MOST)), copies(MOST, LARGE))


def _deltas(pack: Pack) -> None:
    """One upon another, each in need of all before it."""
    at = pack.delta(pack.blob(bytes(MOST)), copies(MOST, LARGE))
    for _ in range(20):
        at = pack.delta(at, copies(LARGE, LARGE))


def _same(pack: Pack) -> None:
    """libgit2 does not give back what it made of an object that it has already."""
    base = pack.blob(bytes(MOST))
    for _ in range(200):
        pack.delta(base, copies(MOST, MOST))


def _within(pack: Pack) -> None:
    """A base that is no object, but the content of one, and of another size than the delta says."""
    inner = entry(BLOB, LARGE, zeros(LARGE))
    head = entry(BLOB, len(inner), b"")
    stored = zlib.compress(inner, 0)
    at = pack.add(head + stored)
    pack.delta(at + len(head) + stored.index(inner[:64]), copies(10, 10))


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Conversation]]:
    """The processes of this test, as they are started."""
    started: list[Conversation] = []

    async def start() -> Conversation:
        started.append(await objects._start())
        return started[-1]

    monkeypatch.setattr(objects, "_pool", ProcessPools(FETCH_SLOTS, start).here)
    yield started
    for process in started:
        process.kill()


def _peak() -> int:
    """Of our memory since it was last asked for, in bytes."""
    most = int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) << 10
    Path("/proc/self/clear_refs").write_text("5")
    return most


async def _files(url: str, commit: str, timeout: float = 60) -> list[str]:
    async with fetched(url, Auth(), ref="refs/heads/main", commit=commit, timeout=timeout) as found:
        return await in_thread(lambda: [file.path for file in found.tree.files(lambda _: False)])


async def _gone(*processes: Conversation) -> None:
    for _ in range(100):
        if not any(process.alive for process in processes):
            return
        await asyncio.sleep(0.05)
    pytest.fail("a process lives on")


@pytest.mark.parametrize("bomb", [_delta, _deltas, _same, _within])
async def test_objects_that_are_larger_than_memory_end_their_fetch_alone(
    bomb: Callable[[Pack], None], fresh: list[Conversation]
) -> None:
    pack = Pack()
    bomb(pack)
    assert len(pack.done()) < 10 * MIB
    async with served(pack) as url:
        _peak()
        began = _peak()
        with pytest.raises(GitProblem, match="needs more than 1024 MiB of memory"):
            await _files(url, pack.tip)
        assert _peak() - began < 50 * MIB
    await _gone(*fresh)


async def test_a_large_file_that_nobody_reads_takes_no_memory() -> None:
    pack = Pack()
    pack.add(entry(BLOB, 256 * MIB, zeros(256 * MIB)))
    async with served(pack) as url:
        assert await _files(url, pack.tip) == ["a.yaml"]


async def test_what_takes_minutes_in_libgit2_ends_with_the_fetch_and_holds_up_nobody(
    repo: Repo, fresh: list[Conversation]
) -> None:
    pack = Pack()
    at, size = pack.blob(bytes(MOST)), 4 * MOST
    at = pack.delta(at, copies(MOST, size))
    for number in range(2000):
        at = pack.delta(at, copies(size, size - number))
        size -= number
    commit = repo.push({"a.yaml": "a: 1\n"})
    async with served(pack) as url:

        async def hang() -> None:
            tenant.set("attacker")
            with pytest.raises(GitProblem, match="not fetched within 3 s"):
                await _files(url, pack.tip, timeout=3)

        began = time.monotonic()
        attacks = [asyncio.create_task(hang()) for _ in range(2)]
        await asyncio.sleep(1)
        assert await _files(repo.url, commit) == ["a.yaml"]
        assert not any(attack.done() for attack in attacks)
        await asyncio.gather(*attacks)
        assert time.monotonic() - began < 9
    await _gone(*fresh[:2])
    assert fresh[2].alive


async def test_one_process_fetches_for_one_after_the_other_and_keeps_nothing(
    repo: Repo, fresh: list[Conversation]
) -> None:
    for number in range(3):
        commit = repo.push({"a.yaml": f"a: {number}\n"})
        async with fetched(repo.url, Auth(), ref="refs/heads/main", commit=commit, timeout=60) as found:
            assert await in_thread(partial(found.tree.read, "a.yaml")) == f"a: {number}\n".encode()
        with pytest.raises(GitProblem):
            await in_thread(partial(found.tree.read, "a.yaml"))
    assert len(fresh) == 1


async def test_a_repository_whose_address_is_refused_in_the_midst_of_a_fetch_is_told_as_elsewhere(
    repo: Repo, strict: None, caplog: pytest.LogCaptureFixture
) -> None:
    """A name may lead elsewhere than it did a moment ago. libgit2 sees no more than an answer of the relay."""
    commit = repo.push({"a.yaml": "a: 1\n"})
    with pytest.raises(GitProblem, match=r"address 127\.0\.0\.1 is not allowed") as caught:
        await _files(repo.url, commit)
    assert "FLUXLESS_ALLOWED_ADDRESSES" in caught.value.failures[0].next_step
    assert not caplog.records


async def test_a_host_with_limits_of_its_own_fetches_within_them(repo: Repo) -> None:
    """Nobody may raise what is set for them."""
    commit = repo.push({"a.yaml": "a: 1\n"})
    script = (
        "import asyncio, resource, sys\n"
        "from fluxless import addresses\n"
        "from fluxless.git.auth import Auth\n"
        "from fluxless.git.fetch import fetched\n"
        "async def main():\n"
        "    addresses.use(addresses.AddressPolicy(everything=True))\n"
        "    async with fetched(sys.argv[1], Auth(), ref='refs/heads/main', commit=sys.argv[2], timeout=60) as found:\n"
        "        print(found.commit.id)\n"
        "for what in (resource.RLIMIT_AS, resource.RLIMIT_CPU):\n"
        "    resource.setrlimit(what, (900 << 20 if what == resource.RLIMIT_AS else 300,) * 2)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, repo.url, commit), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert said.decode().strip() == commit
