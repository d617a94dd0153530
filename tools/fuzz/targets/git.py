"""What Git servers send: advertisements, packets and packs. `git.ls_remote`, `git.fetch`, `git.tree` over HTTP."""

from __future__ import annotations

import hashlib
import struct
import zlib
from functools import lru_cache
from pathlib import Path
from random import Random

from aiohttp import web

from fluxless.api.failure import Problem
from fluxless.git.auth import Auth
from fluxless.git.fetch import fetched, in_thread
from fluxless.git.ls_remote import ls_remote
from tools.fuzz import odd
from tools.fuzz.loop import wait

_COMMIT, _TREE, _BLOB, _TAG, _OFS_DELTA, _REF_DELTA = 1, 2, 3, 4, 6, 7
_KINDS = {_COMMIT: b"commit", _TREE: b"tree", _BLOB: b"blob", _TAG: b"tag"}
_NAMES = [
    b"a.yaml",
    b"..",
    b".",
    b"",
    b"../canary",
    b".git",
    b"a/b",
    b"/etc/passwd",
    b"x" * 300,
    b"\xff",
    b".GIT",
    b"git~1",
]
_MODES = [b"100644", b"100755", b"120000", b"40000", b"160000", b"0", b"777777777777", b"x"]
_CAPABILITIES = b"\0ofs-delta shallow side-band-64k symref=HEAD:refs/heads/main agent=x"
_ODD_CAPABILITIES = (
    b"",
    b"\0" + b"x" * 60000,
    b"\0shallow object-format=sha256",
    b"\0shallow multi_ack_detailed side-band-64k",
)
Object = tuple[int, bytes]


def inputs(random: Random) -> tuple[bytes, bytes, bytes, str]:
    """Advertisements to look at and to fetch by, the answer to a fetch, and the commit to fetch."""
    objects, tip = _objects(random)
    pack = _pack(random, objects)
    if random.random() < 0.2:
        pack = odd.bent(random, pack)
        pack = pack[:-20] + hashlib.sha1(pack[:-20]).digest() if random.random() < 0.7 else pack
    capabilities = _CAPABILITIES if random.random() < 0.9 else random.choice(_ODD_CAPABILITIES)
    lines = [tip.encode() + b" HEAD" + capabilities, tip.encode() + b" refs/heads/main"]
    if random.random() < 0.08:
        lines += [
            tip.encode() + b" refs/tags/v1",
            tip.encode() + b" refs/tags/v1^{}",
            b"x",
            b"",
            b"0" * 40 + b" " + b"r" * 3000,
        ]
    service = _packet(b"# service=git-upload-pack\n") + b"0000"
    advertised = service + b"".join(_packet(line + b"\n") for line in lines) + b"0000"
    looked = advertised
    if random.random() < 0.4:
        looked = odd.bent(
            random, advertised, [b"0000", b"0001", b"ffff", b"-001", b"0003", b"zzzz", b"version 2\n", b"\0"]
        )
    if random.random() < 0.02:  # libgit2 waits for more of some
        advertised = looked
    parts = [pack[at : at + 60_000] for at in range(0, len(pack), 60_000)]
    banded = b"".join(_packet(bytes([random.choice((1,) * 20 + (2, 3, 4))]) + part) for part in parts)
    answer = _packet(b"shallow " + tip.encode()) + b"0000" + _packet(b"NAK\n") + banded + b"0000"
    return looked, advertised, odd.bent(random, answer) if random.random() < 0.1 else answer, tip


def _objects(random: Random) -> tuple[list[Object], str]:
    blob = (
        _BLOB,
        random.choice(
            (b"a: 1\n", b"", b"../canary", b'[submodule "x"]\npath = ../canary\nurl = file:///\n', b"\0" * 90_000)
        ),
    )
    objects, below = [blob], _id(blob)
    strange = random.random() < 0.5
    for level in range(random.randint(1, 4)):
        rows = [
            (
                random.choice(_MODES if strange else _MODES[3:4] if level else _MODES[:1]),
                random.choice(_NAMES if strange else _NAMES[:1]),
                below,
            )
            for _ in range(random.randint(1, 3) if strange else 1)
        ]
        tree = b"".join(mode + b" " + name + b"\0" + bytes.fromhex(one) for mode, name, one in rows)
        objects.append((_TREE, odd.bent(random, tree) if random.random() < 0.1 else tree))
        below = _id(objects[-1])
        if random.random() < 0.5:
            objects.append((_TREE, b"40000 d\0" + bytes.fromhex(below) + b"40000 e\0" + bytes.fromhex(below)))
            below = _id(objects[-1])
    who = random.choice((b"a <a@b> 1700000000 +0000", b"a", b"a <a@b> 99999999999999999999 +9999", b"\xff <> -1 x"))
    body = (
        b"tree "
        + below.encode()
        + b"\nauthor "
        + who
        + b"\ncommitter "
        + who
        + b"\n\n"
        + random.choice((b"m", b"\xff\0", b""))
    )
    commit = (_COMMIT, odd.bent(random, body) if random.random() < 0.15 else body)
    return [*objects, commit], _id(commit)


def _id(one: Object) -> str:
    kind, data = one
    return hashlib.sha1(_KINDS[kind] + b" " + str(len(data)).encode() + b"\0" + data).hexdigest()


def _pack(random: Random, objects: list[Object]) -> bytes:
    deltas = random.randint(1, 4) if random.random() < 0.3 else 0
    count = len(objects) + deltas if random.random() < 0.95 else 1 << 31
    pack = bytearray(b"PACK" + struct.pack(">II", 2, count))
    starts: list[int] = []
    for kind, data in objects:
        size = len(data) if random.random() < 0.97 else random.choice(odd.NUMBERS)
        said = kind if random.random() < 0.97 else random.choice((0, 5, 6, 7))
        starts.append(len(pack))
        pack += _head(said, size) + zlib.compress(data, 1)
    for _ in range(deltas):
        data = _delta(random, len(random.choice(objects)[1]))
        if random.random() < 0.5:
            base = bytes([random.choice((len(pack) - random.choice(starts), random.randint(0, 255))) & 0x7F])
            head = _head(_OFS_DELTA, len(data)) + base
        else:
            head = _head(_REF_DELTA, len(data)) + bytes.fromhex(_id(random.choice(objects)))
        starts.append(len(pack))
        pack += head + zlib.compress(data, 1)
    return bytes(pack) + hashlib.sha1(pack).digest()


def _head(kind: int, size: int) -> bytes:
    byte, size = (kind << 4) | (size & 15), size >> 4
    head = bytearray()
    while size:
        head.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    return bytes([*head, byte])


def _delta(random: Random, base: int) -> bytes:
    """Copies and additions, of sizes that may be right."""
    size = random.choice((0, 1, 0xFFFF, 0xFFFFFF, base))
    ops = b"".join(
        random.choice((b"\x02ab", b"\xf0" + struct.pack("<I", size)[:3], b"\xff" + random.randbytes(7), b"\0"))
        for _ in range(random.randint(0, 300))
    )
    sizes = (base if random.random() < 0.8 else random.choice(odd.NUMBERS), random.choice((2, size, 1 << 31, 1 << 62)))
    return b"".join(map(_number, sizes)) + ops


def _number(value: int) -> bytes:
    value, out = abs(value), bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _packet(line: bytes) -> bytes:
    return b"%04x" % min(len(line) + 4, 0xFFFF) + line


def judge(data: tuple[bytes, bytes, bytes, str], folder: Path) -> object:
    """Look, fetch, and read all files."""
    server = _server()
    server.advertised, server.answer = data[0], data[2]
    said = []
    for work in (_look(server.url), _fetch(server.url, data[1], data[3])):
        try:
            said.append(wait(work))
        except Problem as problem:
            said.append(str(problem))
    return said


async def _look(url: str) -> object:
    return await ls_remote(url, Auth(), timeout=5)


async def _fetch(url: str, advertised: bytes, commit: str) -> object:
    async with fetched(url, Auth(), ref="refs/heads/main", commit=commit, timeout=2, advertised=advertised) as found:
        tree = found.tree
        files = await in_thread(lambda: [(file.path, file.content[:200]) for file in tree.files(lambda _: False)])
        return [found.commit, files, tree.submodules, await in_thread(lambda: tree.texts(".sourceignore"))]


class _Server:
    """Says what it was told to say."""

    advertised = answer = b""
    url = ""

    async def start(self) -> None:
        """Listen."""

        async def refs(request: web.Request) -> web.Response:
            return web.Response(body=self.advertised, content_type="application/x-git-upload-pack-advertisement")

        async def pack(request: web.Request) -> web.Response:
            done = b"done" in await request.read()
            shallow, flush, rest = self.answer.partition(b"0000")
            said = rest if done else shallow + flush
            return web.Response(body=said, content_type="application/x-git-upload-pack-result")

        app = web.Application()
        app.router.add_get("/{path:.*}/info/refs", refs)
        app.router.add_post("/{path:.*}/git-upload-pack", pack)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/x"


@lru_cache(maxsize=1)
def _server() -> _Server:
    server = _Server()
    wait(server.start())
    return server
