"""Packs that no Git makes, and a server that sends one."""

from __future__ import annotations

import contextlib
import hashlib
import struct
import zlib
from collections.abc import AsyncIterator

from aiohttp import web

from tests.support import serving

COMMIT, TREE, BLOB, OFS_DELTA, REF_DELTA = 1, 2, 3, 6, 7
_NAMES = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob"}
MOST = (1 << 24) - 1
"""Bytes that one instruction of a delta copies."""


def identifier(kind: int, data: bytes) -> str:
    """The id of an object."""
    return hashlib.sha1(_NAMES[kind] + b" %d\0" % len(data) + data).hexdigest()


def copies(base: int, result: int) -> bytes:
    """A delta that makes `result` bytes of a base, by copying its beginning again and again."""
    chunk = min(base, MOST)
    whole, rest = divmod(result, chunk)
    sizes = [chunk] * whole + ([rest] if rest else [])
    return _number(base) + _number(result) + b"".join(b"\xf0" + struct.pack("<I", size)[:3] for size in sizes)


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def entry(kind: int, size: int, content: bytes, base: bytes = b"") -> bytes:
    """An object as it stands in a pack: `size` is what its head says."""
    first, size = (kind << 4) | (size & 15), size >> 4
    out = bytearray()
    while size:
        out.append(first | 0x80)
        first, size = size & 0x7F, size >> 7
    return bytes([*out, first]) + base + content


class Pack:
    """A commit `tip` with one file `a.yaml`, and whatever else is added."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 12
        file = b"a: 1\n"
        tree = b"100644 a.yaml\0" + bytes.fromhex(identifier(BLOB, file))
        who = b"a <a@example.com> 1700000000 +0000"
        body = b"tree %s\nauthor %s\ncommitter %s\n\nm" % (identifier(TREE, tree).encode(), who, who)
        self.tip = identifier(COMMIT, body)
        for kind, data in ((BLOB, file), (TREE, tree), (COMMIT, body)):
            self.add(entry(kind, len(data), zlib.compress(data)))

    def add(self, raw: bytes) -> int:
        """An entry. Returns where it begins."""
        at = self._size
        self._parts.append(raw)
        self._size += len(raw)
        return at

    def blob(self, data: bytes) -> int:
        """A file that no folder names."""
        return self.add(entry(BLOB, len(data), zlib.compress(data, 9)))

    def delta(self, base: int, delta: bytes) -> int:
        """One upon what begins at `base`."""
        back = self._size - base
        distance = [back & 0x7F]
        while back := back >> 7:
            back -= 1
            distance.insert(0, back & 0x7F | 0x80)
        return self.add(entry(OFS_DELTA, len(delta), zlib.compress(delta, 9), bytes(distance)))

    def done(self) -> bytes:
        """All of it."""
        raw = b"PACK" + struct.pack(">II", 2, len(self._parts)) + b"".join(self._parts)
        return raw + hashlib.sha1(raw).digest()


def zeros(size: int) -> bytes:
    """So many, deflated."""
    deflate = zlib.compressobj(1)
    whole, rest = divmod(size, 1 << 20)
    parts = [deflate.compress(bytes(1 << 20)) for _ in range(whole)]
    return b"".join([*parts, deflate.compress(bytes(rest)), deflate.flush()])


def _packet(line: bytes) -> bytes:
    return b"%04x" % (len(line) + 4) + line


@contextlib.asynccontextmanager
async def served(pack: Pack) -> AsyncIterator[str]:
    """The URL of a repository whose branch main is the pack's tip; whoever fetches gets the pack as it is."""
    tip, raw = pack.tip.encode(), pack.done()
    lines = (tip + b" HEAD\0ofs-delta shallow side-band-64k", tip + b" refs/heads/main")
    refs = _packet(b"# service=git-upload-pack\n") + b"0000" + b"".join(_packet(line + b"\n") for line in lines)
    bands = b"".join(_packet(b"\x01" + raw[at : at + 65000]) for at in range(0, len(raw), 65000))

    async def advertise(request: web.Request) -> web.Response:
        return web.Response(body=refs + b"0000", content_type="application/x-git-upload-pack-advertisement")

    async def send(request: web.Request) -> web.Response:
        done = b"done" in await request.read()
        said = _packet(b"NAK\n") + bands + b"0000" if done else _packet(b"shallow " + tip) + b"0000"
        return web.Response(body=said, content_type="application/x-git-upload-pack-result")

    app = web.Application()
    app.router.add_get("/repository/info/refs", advertise)
    app.router.add_post("/repository/git-upload-pack", send)
    async with serving.served(app) as url:
        yield f"{url}/repository"
