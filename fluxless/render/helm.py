"""Runs the real `helm`: an action on one release, with a chart and values on disk. Knows no Flux objects.

What it says goes to nobody as it is: values may stand in it. The last line, which names the failure, is what is kept.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.limits import HELM_CPU, HELM_FILE, HELM_MEMORY, HELM_OUTPUT, HELM_SECONDS
from fluxless.process import Limits, run
from fluxless.render.binaries import PROGRAM, binary
from fluxless.render.kustomize import ARGUMENTS

GRACE = 60.0
"""Seconds that helm may take beyond the timeout of the action: it has several waits."""
WORDS = 2000
"""Characters of helm's report that a message keeps."""
RENDERER = "fluxless"
SCHEMA = "don't meet the specifications of the schema"
_AT = re.compile(r"^([ \t]*- at '[^\n]*?':) ([^\n]*)$", re.MULTILINE)
_HARMLESS = re.compile(r"got \w+, want [\w ]+|missing propert(y|ies) .*|'(anyOf|allOf|oneOf|not)' failed.*")
"""What helm says of a value without saying the value; the names are the schema's."""
LIMITS = Limits(HELM_MEMORY, HELM_CPU, HELM_FILE)


class HelmFailed(Problem):
    """The action has failed; the words are helm's."""

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(Failure(FailureClass.BUILD, message, next_step=next_step))


async def helm(
    action: str,
    words: Sequence[str | Path],
    server: str,
    namespace: str,
    *,
    timeout: float,
    flags: Sequence[str] = (),
    values: Mapping[str, Any] | None = None,
    post_render: Mapping[str, Any] | None = None,
) -> str:
    """Run one action to its end against an API server; what it printed. `words` are what it is done to: whatever
    stands in them, helm reads none as a flag. The caller sees to it that there are not too many at once.
    `post_render` is what is done to every rendered object. Raises `HelmFailed`, `ProcessProblem`.
    """
    executable, program = await binary("helm"), await binary(PROGRAM)
    with tempfile.TemporaryDirectory(prefix="fluxless-helm-") as name:
        home = Path(name)
        (home / "kubeconfig").write_text(json.dumps(_kubeconfig(server)))
        command: list[str | Path] = [executable, *action.split(), *flags, f"--namespace={namespace}"]
        if values is not None:
            (home / "values.json").touch(mode=0o600)
            (home / "values.json").write_text(json.dumps(values))
            command.append(f"--values={home / 'values.json'}")
        if post_render is not None:
            _plugin(home, program, post_render)
            command.append(f"--post-renderer={RENDERER}")
        command += ["--", *words]
        environment = {
            "HOME": name,
            "TMPDIR": name,
            "KUBECONFIG": str(home / "kubeconfig"),
            "HELM_CACHE_HOME": str(home / "cache"),
            "HELM_CONFIG_HOME": str(home / "config"),
            "HELM_DATA_HOME": str(home / "data"),
            "HELM_PLUGINS": str(home / "plugins"),
        }
        finished = await run(
            command,
            env=environment,
            timeout=min(timeout, HELM_SECONDS) + GRACE,
            max_output=HELM_OUTPUT,
            slot=False,
            limits=LIMITS,
            launcher=program,
        )
    if finished.code != 0:
        raise HelmFailed(_words(finished.stderr.decode(errors="replace")) or f"helm ended with {finished.code}")
    return finished.stdout.decode(errors="replace")


def _kubeconfig(server: str) -> dict[str, Any]:
    """A kubeconfig without any secret: the door knows who we are."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "door", "cluster": {"server": server}}],
        "contexts": [{"name": "door", "context": {"cluster": "door", "user": "door"}}],
        "users": [{"name": "door", "user": {}}],
        "current-context": "door",
    }


def _plugin(home: Path, program: Path, wanted: Mapping[str, Any]) -> None:
    """Helm 4 post-renders by plugins: ours is the program that builds Kustomizations, so that no Python starts."""
    folder = home / "plugins" / RENDERER
    folder.mkdir(parents=True)
    task = folder / "wanted.json"
    task.write_text(json.dumps(wanted))
    arguments = ["post-render", *ARGUMENTS, str(task)]
    plugin = {
        "apiVersion": "v1",
        "type": "postrenderer/v1",
        "name": RENDERER,
        "version": "1.0.0",
        "runtime": "subprocess",
        "runtimeConfig": {"platformCommand": [{"command": str(program), "args": arguments}]},
    }
    (folder / "plugin.yaml").write_text(json.dumps(plugin))


def _words(stderr: str) -> str:
    """The error, in one line; warnings and hints come before it."""
    text = stderr.rpartition("Error: ")[2] if "Error: " in stderr else stderr
    if SCHEMA in text:
        text = _AT.sub(_without_value, text)
    return " ".join(text.split())[:WORDS]


def _without_value(found: re.Match[str]) -> str:
    return found[0] if _HARMLESS.fullmatch(found[2]) else f"{found[1]} the schema does not allow this value"
