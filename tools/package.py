"""`python -m tools.package [FILE]`: the zip that is deployed: the app, its engine and the binaries that it runs.

Nothing of tests or tools is in it, and nothing is executable: deployments lose those bits anyway, so the app copies its
binaries out before it runs them (`fluxless/render/binaries.py`). Python packages are installed by the deployment, from
requirements.txt.
"""

from __future__ import annotations

import platform
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from tools import binaries
from tools.places import ROOT, STATE

TARGET = STATE / "package" / "fluxless.zip"
FILES = ("function_app.py", "host.json", "requirements.txt")
FOLDERS = ("fluxless", "functions")
MOMENT = (2026, 1, 1, 0, 0, 0)
"""Of every file: the same content is the same zip."""
MODE = 0o100644 << 16
MACHINE = ("Linux", "x86_64")
"""What Flex Consumption runs on."""
out = Console(highlight=False, soft_wrap=True)


def contents() -> Iterator[tuple[str, Path]]:
    """What goes into the zip, by the name that it has there."""
    for name in FILES:
        yield name, ROOT / name
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                yield file.relative_to(ROOT).as_posix(), file
    for binary in binaries.SHIPPED:
        yield f"bin/{binary.name}", binaries.find(binary)


def build(target: Path) -> Path:
    """Write the zip. Raises RuntimeError on a machine whose binaries would not run in Azure."""
    here = (platform.system(), platform.machine())
    if here != MACHINE:
        raise RuntimeError(f"binaries of {' '.join(here)} do not run in Azure: build on {' '.join(MACHINE)}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, file in contents():
            entry = zipfile.ZipInfo(name, MOMENT)
            entry.external_attr, entry.compress_type = MODE, zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())
    return target


def main() -> int:
    """Build it and say how large it is."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    try:
        build(target)
    except RuntimeError as error:
        out.print(f"[red]error:[/red] {error}")
        return 1
    with zipfile.ZipFile(target) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    shown = target.relative_to(ROOT) if target.is_relative_to(ROOT) else target
    out.print(f"{shown}: {target.stat().st_size >> 20} MiB, {unpacked >> 20} MiB unpacked")
    return 0


if __name__ == "__main__":
    sys.exit(main())
