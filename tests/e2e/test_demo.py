"""The door that a newcomer opens first: `make demo`, from an empty folder to its last scene."""

import subprocess
import sys

from tools.places import ROOT


def test_the_demo_shows_its_scenes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.demo"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "done after" in done.stdout
