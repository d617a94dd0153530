"""Builds with `fluxless-kustomize`, our own program around kustomize's library (docs/decisions/build-program.md).

A few processes stay alive and take one build at a time each: they start when they are needed and end when nothing is
to build. A build that goes over its limits is killed with its process, and fails alone.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path

from fluxless import limits
from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.process import Conversation, Ended, ProcessProblem
from fluxless.process_pool import ProcessPools
from fluxless.render.binaries import PROGRAM, binary, setting_of

GREETING = b"yfluxless-kustomize 1"
"""What the program says first: which protocol this is."""
ARGUMENTS = (f"-memory={limits.BUILD_MEMORY}", f"-cpu={limits.BUILD_CPU}", f"-output={limits.BUILD_OUTPUT}")
"""Its arguments, for builds and for post-rendering alike."""
AT_ONCE = 2 * max(1, (os.cpu_count() or 1) - 1)
"""Builds at the same time. One tenant has half of them, so that a core is left for the others and for the worker."""
START = 30.0
"""Seconds until it greets, on a machine that is very busy."""
_NO_MEMORY, _NO_CPU = 2, 65
"""Exit codes: Go's own when it gets no more memory, and the program's when its time is up."""


class KustomizeFailed(Problem):
    """kustomize's words about what it cannot build; paths of this machine are in them."""

    def __init__(self, words: str) -> None:
        super().__init__(Failure(FailureClass.BUILD, words))
        self.words = words


class OverLimits(Problem):
    """A build went over its limits, and was killed."""

    def __init__(self, what: str) -> None:
        step = "split the path into several Kustomizations"
        super().__init__(Failure(FailureClass.BUILD, f"kustomize build failed: {what}", next_step=step))


async def kustomize(
    root: Path,
    folder: Path,
    changed: Mapping[str, bytes] | None = None,
    *,
    timeout: float = limits.BUILD_SECONDS,
) -> str:
    """What kustomize makes of a folder below the root, as YAML. Nothing outside of the root is read.

    `changed` stands in the place of files, by path below the root. A longer `timeout` than the limit lengthens nothing.
    Raises `KustomizeFailed`, `OverLimits`, `ProcessProblem`.
    """
    files = {name: base64.b64encode(data).decode() for name, data in (changed or {}).items()}
    question = json.dumps({"root": str(root), "path": str(folder), "files": files}).encode()
    seconds = min(timeout, limits.BUILD_SECONDS)
    async with _pool().process() as process:
        try:
            answer = await process.ask(question, timeout=seconds, at_most=limits.BUILD_OUTPUT + limits.MIB)
        except TimeoutError:
            raise OverLimits(f"it took longer than {seconds:.0f} s") from None
        except Ended as ended:
            raise OverLimits(_reason(ended.code)) from None
    kind, text = answer[:1], answer[1:].decode(errors="replace")
    if kind != b"y":
        raise KustomizeFailed(text)
    return text


async def answers() -> None:
    """See that the program is there, and that of this release. Raises `ProcessProblem`."""
    async with _pool().process():
        pass


def _reason(code: int) -> str:
    if code == _NO_MEMORY:
        return f"it needs more than {limits.BUILD_MEMORY // limits.MIB} MiB of memory"
    if code == _NO_CPU:
        return f"it needs more than {limits.BUILD_CPU} s of processor time"
    return f"its process ended with code {code}"


async def _started() -> Conversation:
    executable = await binary(PROGRAM)
    process = Conversation([executable, "serve", *ARGUMENTS])
    try:
        greeting = await process.ask(None, timeout=START, at_most=len(GREETING))
    except (Ended, ValueError):
        greeting = b""
    except TimeoutError:
        raise ProcessProblem(f"{PROGRAM} did not start within {START:.0f} s") from None
    if greeting != GREETING:
        process.kill()
        setting = setting_of(PROGRAM)
        raise ProcessProblem(
            f"{executable} is not the build program of this release", f"unset {setting}, or correct its path"
        )
    return process


_pool = ProcessPools(AT_ONCE, _started).here
