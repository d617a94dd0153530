"""Peak memory of single pieces of work, each in a process of its own: an index of 50 MB, large repositories.

`python -m tools.bench.memory index|files|history FOLDER` does one over what `prepare` put into the folder.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fluxless import addresses
from tools import environment, processes
from tools.bench.meter import out
from tools.places import ROOT

INDEX_BYTES = 50 * 1000 * 1000
FILES = 100_000
BLOBS, BLOB_BYTES = 100, 10_000_000
"""The history in the way: files of random bytes, each replaced by the next commit."""
ENTRY = """\
  - apiVersion: v2
    appVersion: 1.{version}.0
    created: "2026-01-01T00:00:00Z"
    description: Chart number {chart} of an index that is as large as one may be
    digest: {digest}
    name: chart-{chart}
    urls:
    - https://charts.example.com/chart-{chart}-1.{version}.0.tgz
    version: 1.{version}.0
"""


async def measure(folder: Path) -> list[str]:
    """Rows of the table."""
    git_root, git_url = await asyncio.to_thread(environment.start_git, folder)
    try:
        await asyncio.to_thread(_index, folder / "index.yaml")
        await asyncio.to_thread(_repository, git_root / "files.git", _many_files())
        await asyncio.to_thread(_repository, git_root / "history.git", _long_history())
        rows = [
            await asyncio.to_thread(_probe, what, folder / "index.yaml" if what == "index" else f"{git_url}/{what}.git")
            for what in ("nothing", "index", "files", "history")
        ]
        return [f"| memory: {row} |" for row in rows]
    finally:
        await asyncio.to_thread(processes.stop, folder, "git")


def _index(path: Path) -> None:
    with path.open("w") as file:
        file.write("apiVersion: v1\nentries:\n")
        chart = 0
        while file.tell() < INDEX_BYTES:
            file.write(f"  chart-{chart}:\n")
            for version in range(100):
                file.write(ENTRY.format(chart=chart, version=version, digest=f"{chart * 100 + version:064x}"))
            chart += 1


def _many_files() -> list[bytes]:
    lines = [b"commit refs/heads/main\ncommitter a <a@example.org> 1700000000 +0000\ndata 1\nx\n"]
    for number in range(FILES):
        text = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c-%d\n" % number
        lines.append(b"M 100644 inline d%d/f%d.yaml\ndata %d\n%s\n" % (number // 100, number, len(text), text))
    return lines


def _long_history() -> list[bytes]:
    parts: list[bytes] = []
    for number in range(BLOBS + 1):
        data = os.urandom(BLOB_BYTES) if number < BLOBS else b"kind: List\n"
        head = b"commit refs/heads/main\ncommitter a <a@example.org> %d +0000\ndata 1\nx\n" % (1700000000 + number)
        parts.append(head + b"M 100644 inline a.yaml\ndata %d\n" % len(data) + data + b"\n")
    return parts


def _repository(path: Path, stream: list[bytes]) -> None:
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", path], check=True, timeout=30)
    subprocess.run(
        ["git", "-C", path, "-c", "core.bigFileThreshold=1m", "fast-import", "--quiet"],
        input=b"".join(stream),
        check=True,
        timeout=300,
    )


def _probe(what: str, where: Path | str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tools.bench.memory", what, str(where)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{what}: {done.stderr[-400:]}")
    out.print(done.stdout.strip())
    return done.stdout.strip()


async def _fetch(url: str) -> str:
    from fluxless.artifacts.pack import pack
    from fluxless.git.auth import Auth
    from fluxless.git.fetch import fetched, in_thread
    from fluxless.git.ls_remote import ls_remote

    found = await ls_remote(url, Auth(), timeout=60)
    commit = found.commits["refs/heads/main"]
    async with fetched(url, Auth(), ref="refs/heads/main", commit=commit, timeout=120) as checkout:
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "artifact.tar.gz"
            packed = await in_thread(lambda: pack(checkout.tree.files(lambda _: False), archive))
    return f"{packed.files} files, {packed.size >> 10} KiB packed"


def _charts(path: Path) -> str:
    from fluxless.charts.index import lookup, reencode

    target = path.with_suffix(".json")
    count = reencode(path, target)
    found = lookup(target, f"chart-{count - 1}") or []
    return f"{path.stat().st_size // 1_000_000} MB, {count} charts, {len(found)} versions of the last"


def main() -> int:
    """One probe."""
    what, where = sys.argv[1:]
    addresses.use(addresses.AddressPolicy.of("127.0.0.0/8", {}))  # where the Git server is
    began = time.monotonic()
    if what == "index":
        said = _charts(Path(where))
    elif what == "nothing":
        said = "imports only"
        import fluxless.git.fetch  # noqa: F401 -- what the others have loaded
    else:
        said = asyncio.run(_fetch(where))
    print(f"{what} ({said}) | {time.monotonic() - began:.1f} s | | {' + '.join(_peaks())} MiB |")
    return 0


def _peaks() -> list[str]:
    """Of this process and of those that it has started, in MiB."""
    children = Path("/proc/thread-self/children").read_text().split()
    statuses = [Path(f"/proc/{pid}/status").read_text() for pid in ("self", *children)]
    return [str(int(found[1]) >> 10) for status in statuses if (found := re.search(r"VmHWM:\s+(\d+)", status))]


if __name__ == "__main__":
    sys.exit(main())
