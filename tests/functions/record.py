"""Records histories of the app's orchestrators, for releases to come: `python -m tests.functions.record`.

Each scenario is run on the local host, over scripted activities, and its history is kept in `histories/<code>/`, where
`<code>` is `functions.names.CODE`. Never record one of a code that is recorded already: it would no longer be what that
release has left in the task hubs of its users.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from functions import names, orchestrators
from tests.unit.localhost.hosting import LocalHost

HERE = Path(__file__).parent
HISTORIES = HERE / "histories"
SCENARIOS = {
    "chain-5": 10.0,
    "chain-40": 20.0,
    "chain-120": 60.0,
    "fan-3": 10.0,
    "waits-3": 10.0,
    "slow": 2.0,
    "failing-1": 12.0,
    "away": 5.0,
    "deadplan": 12.0,
    "deadbatch": 10.0,
}
"""How long each `sync` is run, in seconds: until it ends, or is left in the middle."""
FIRST = 1
"""The code of releases that did not say one."""


def main() -> int:
    """The command."""
    folder = HISTORIES / str(getattr(names, "CODE", FIRST))
    if folder.exists():
        print(f"{folder.name} is recorded already: raise functions.names.CODE", file=sys.stderr)
        return 1
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as state, LocalHost(HERE / "scripted", Path(state)) as host:
        for cluster in SCENARIOS:
            host.begin(names.SYNC, f"sync-{cluster}", {"cluster": cluster, "again": True, "turns": orchestrators.TURNS})
        host.begin(names.ANNOUNCE, "announce-one", {"cluster": "away", "keys": ["github.com/a/b"], "targets": []})
        began = time.monotonic()
        host.event("sync-slow", names.wake_event(2))
        for cluster, seconds in sorted(SCENARIOS.items(), key=lambda item: item[1]):
            _await(host, f"sync-{cluster}", began + seconds)
            _keep(host, f"sync-{cluster}", folder / f"{cluster}.json")
        _keep(host, "announce-one", folder / "announce.json")
    return 0


def _await(host: LocalHost, instance: str, until: float) -> None:
    while time.monotonic() < until:
        if host.look(instance)["runtimeStatus"] in {"Completed", "Failed"}:
            return
        time.sleep(0.1)


def _keep(host: LocalHost, instance: str, file: Path) -> None:
    found = json.loads(host.durable(f"/instances/{instance}?showHistory=true")[1])
    kept = {key: found[key] for key in ("name", "instanceId", "runtimeStatus", "historyEvents")}
    file.write_text(json.dumps(kept, separators=(",", ":")) + "\n")
    print(f"{file.name}: {found['runtimeStatus']}, {len(found['historyEvents'])} events")


if __name__ == "__main__":
    sys.exit(main())
