"""The local environment: control plane, Azurite, Git server, registry, function host, in the background or for a demo.

`python -m tools.environment up|down`. Everything lies under `.fluxless/`; `.fluxless/env` says where everything is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from fluxless import addresses, limits
from tools import binaries, processes
from tools.azurite import launcher as azurite
from tools.devcluster import launcher as devcluster
from tools.places import ROOT, STATE, free_port
from tools.registry import launcher as registry

SECRET = "local-webhook-secret"
SECRETS = tuple(
    f"FLUXLESS_{door}_SECRET"
    for door in ("GITHUB_WEBHOOK", "GITLAB_WEBHOOK", "AZUREDEVOPS_WEBHOOK", "ACR_WEBHOOK", "PUSH")
)
"""Every door has the same one here."""
ADDRESSES = "127.0.0.1,::1"
"""Where all of it is, which the app calls only where that is allowed."""
EVENTS_QUEUE = "registry-events"
TIMER = "*/5 * * * * *"
"""Of `make up`: whoever tries things out does not like to wait for half a minute."""
HOST_WITHIN = 60.0
DURABLE_HOST = "FLUXLESS_DURABLE_HOST"
"""The setting that names the program of Microsoft's Durable extension, which `make up` takes as the engine then."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Where everything is."""

    folder: Path
    kubeconfig: Path
    functions_url: str
    git_root: Path
    git_url: str
    blob_connection: str
    functions_key: str
    registry: str

    def lines(self) -> str:
        """The content of `.fluxless/env`, for `set -a; . .fluxless/env`."""
        pairs = {
            "KUBECONFIG": self.kubeconfig,
            "FUNCTIONS_URL": self.functions_url,
            "GIT_ROOT": self.git_root,
            "GIT_URL": self.git_url,
            "BLOB_CONNECTION": f"'{self.blob_connection}'",
            "FUNCTIONS_KEY": self.functions_key,
            "REGISTRY": self.registry,
            "FLUXLESS_GITHUB_WEBHOOK_SECRET": SECRET,
        }
        return "".join(f"{name}={value}\n" for name, value in pairs.items())


def allow_addresses() -> None:
    """Let this process call what it starts, as the app may."""
    addresses.use(addresses.AddressPolicy.of(ADDRESSES, {}))


def up(
    folder: Path = STATE, *, timer: str = "", extra: dict[str, str] | None = None, host_arguments: tuple[str, ...] = ()
) -> Environment:
    """Start what does not run yet. `timer` is the NCRONTAB of the app's timer. Raises RuntimeError."""
    folder.mkdir(parents=True, exist_ok=True)
    kubeconfig = _cluster(folder)
    connection = azurite.start(folder / "azurite")
    git_root, git_url = start_git(folder)
    host = registry.start(folder / "registry")
    asyncio.run(_install(kubeconfig))
    settings = {
        "FLUXLESS_CLUSTERS": json.dumps([{"name": "dev", "kubeconfig": str(kubeconfig)}]),
        "FLUXLESS_BLOB_CONNECTION": connection,
        **dict.fromkeys(SECRETS, SECRET),
        "FLUXLESS_EVENTS_QUEUE": EVENTS_QUEUE,
        "FLUXLESS_EVENTS": connection,
        "FLUXLESS_TASK_HUB": "fluxlesslocal",
        "AzureWebJobsStorage": connection,
        "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": str(limits.CALLER_BODY),
        addresses.SETTING: ADDRESSES,
        "FLUXLESS_CACHE_FOLDER": str(folder / "cache"),
        **{binary.setting: str(binaries.find(binary)) for binary in binaries.SHIPPED},
        **({"FLUXLESS_TIMER": timer} if timer else {}),
        **(extra or {}),
    }
    (folder / "host.env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    url = start_host(folder, *host_arguments)
    key = json.loads((folder / "hub" / "keys.json").read_text())["function"]
    environment = Environment(folder, kubeconfig, url, git_root, git_url, connection, key, host)
    (folder / "env").write_text(environment.lines())
    return environment


def down(folder: Path = STATE) -> None:
    """End just what `up` has started."""
    processes.stop(folder, "host")
    processes.stop(folder, "git")
    registry.stop(folder / "registry")
    azurite.stop(folder / "azurite")
    devcluster.stop(folder / "cluster")
    (folder / "env").unlink(missing_ok=True)


def start_host(folder: Path, *arguments: str, app: Path = ROOT) -> str:
    """The function host on the port that it had before, if any; its URL. `app` is the folder of function_app.py."""
    port_file = folder / "host.port"
    if not port_file.is_file():
        port_file.write_text(str(free_port()))
    port = port_file.read_text()
    url = f"http://127.0.0.1:{port}"
    if processes.running(folder, "host") is None:
        command: list[str | Path] = [sys.executable, "-m", "tools.localhost", app, "--port", port]
        options: list[str | Path] = ["--state", folder / "hub", "--settings", folder / "host.env", *arguments]
        processes.start("host", [*command, *options], folder, cwd=ROOT)
    processes.wait_for(
        "the function host", lambda: _answers(f"{url}/admin/host/status"), HOST_WITHIN, folder / "host.log"
    )
    return url


def start_git(folder: Path) -> tuple[Path, str]:
    """The Git server on the port that it had before, if any; its root folder and URL."""
    root, port_file = folder / "git", folder / "git.port"
    root.mkdir(parents=True, exist_ok=True)
    if not port_file.is_file():
        port_file.write_text(str(free_port()))
    port = port_file.read_text()
    if processes.running(folder, "git") is None:
        processes.start("git", [sys.executable, "-m", "tools.gitserver", root, port], folder, cwd=ROOT)
    processes.wait_for("the Git server", lambda: _answers(f"http://127.0.0.1:{port}/"), 30.0, folder / "git.log")
    return root, f"http://127.0.0.1:{port}"


def _cluster(folder: Path) -> Path:
    """The control plane of KUBECONFIG where that names another one, else our own."""
    ours, given = folder / "cluster" / "kubeconfig", os.environ.get("KUBECONFIG")
    if given and Path(given).resolve() != ours.resolve():
        print(f"using the cluster of KUBECONFIG={given}", file=sys.stderr)
        return Path(given)
    return devcluster.start(folder / "cluster")


async def _install(kubeconfig: Path) -> None:
    """The CRDs, by the same code as `fluxless install`."""
    from fluxless.cli.install import install
    from fluxless.kube.connect import ClusterConfig, connect

    cluster = await connect(ClusterConfig("dev", kubeconfig=str(kubeconfig)))
    try:
        await install(cluster)
    finally:
        await cluster.close()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def main() -> int:
    """`up` or `down`."""
    parser = argparse.ArgumentParser(prog="tools.environment")
    parser.add_argument("what", choices=["up", "down"])
    if parser.parse_args().what == "down":
        down()
        print("stopped; .fluxless/ keeps the state (delete it to begin anew)")
        return 0
    began = time.monotonic()
    program = os.environ.get(DURABLE_HOST)
    try:
        environment = up(timer=TIMER, host_arguments=("--durable-host", program) if program else ())
    except (RuntimeError, TimeoutError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"up after {time.monotonic() - began:.0f} s; .fluxless/env:\n\n{environment.lines()}")
    if not shutil.which("flux"):
        print("look around with: set -a; . .fluxless/env; set +a; .venv/bin/fluxless get all -A")
    return 0


if __name__ == "__main__":
    sys.exit(main())
