"""Starts the Versity S3 gateway on 127.0.0.1 over a folder; buckets are its subfolders."""

from __future__ import annotations

import socket
from pathlib import Path

from tools import binaries, processes
from tools.places import free_port

KEY, SECRET, REGION = "access", "secret-key", "us-east-1"


def start(folder: Path, *, certificate: Path | None = None, key: Path | None = None) -> str:
    """`host:port`. With a certificate it speaks HTTPS only. Raises RuntimeError."""
    root = folder / "buckets"
    sidecar = folder / "metadata"
    for place in (root, sidecar):
        place.mkdir(parents=True, exist_ok=True)
    port = free_port()
    tls = ["--cert", str(certificate), "--key", str(key)] if certificate and key else []
    options = ["--access", KEY, "--secret", SECRET, "--region", REGION, "--port", f"127.0.0.1:{port}", "--quiet", *tls]
    command: list[str | Path] = [binaries.find(binaries.S3), *options, "posix", "--sidecar", sidecar, root]
    processes.start("s3", command, folder)
    processes.wait_for("the S3 server", lambda: _listens(port), 20.0, folder / "s3.log")
    return f"127.0.0.1:{port}"


def stop(folder: Path) -> None:
    """End it; its data stays in the folder."""
    processes.stop(folder, "s3")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
