"""`fluxless` as people type it, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tools import binaries
from tools.places import ROOT

BINARIES = tuple(binary.setting for binary in binaries.SHIPPED)


def fluxless(kubeconfig: Path, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end, within a minute."""
    pinned = {name: os.environ[name] for name in BINARIES if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "fluxless.cli", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin", "KUBECONFIG": str(kubeconfig), **pinned, **environment},
    )
