"""Cold start is a feature: what `import function_app` loads, and how long it takes, is pinned."""

import json
import subprocess
import sys

from tools.places import ROOT

PROBE = """
import json, sys, time
before = set(sys.modules)
began = time.process_time()
import function_app
seconds = time.process_time() - began
roots = sorted({name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)
ours = sorted(name for name in sys.modules if name.startswith(("fluxless", "functions")))
print(json.dumps({"seconds": seconds, "roots": roots, "ours": ours}))
"""
HEAVY = {"kubernetes", "pygit2", "yaml", "typer", "rich", "cryptography", "pathspec"}
HEAVY_AZURE = {"azure.storage", "azure.identity", "azure.mgmt", "azure.core", "azure.containerregistry"}


def _probe(code: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_importing_the_app_takes_less_than_a_second_of_cpu() -> None:
    times = sorted(float(str(_probe(PROBE)["seconds"])) for _ in range(3))
    assert times[0] < 1.0


def test_importing_the_app_loads_the_door_and_nothing_heavy() -> None:
    found = _probe(PROBE)
    assert not HEAVY & set(found["roots"])  # type: ignore[call-overload]
    assert found["ours"] == [
        "fluxless",
        "fluxless.api",
        "fluxless.api.failure",
        "functions",
        "functions.activities",
        "functions.host",
        "functions.insight",
        "functions.instances",
        "functions.log_lines",
        "functions.names",
        "functions.nudge",
        "functions.orchestrators",
        "functions.queues",
        "functions.reconciliation",
        "functions.settings",
        "functions.timers",
        "functions.wake",
        "functions.webhooks",
    ]
    loaded = _probe("import json, sys, function_app\nprint(json.dumps({'all': sorted(sys.modules)}))")["all"]
    assert not [name for name in loaded if any(name.startswith(heavy) for heavy in HEAVY_AZURE)]  # type: ignore[attr-defined]
