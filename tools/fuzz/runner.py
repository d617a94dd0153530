"""Gives inputs to a target and judges: only `Problem`s may be raised, no canary may come out, time and memory are
bounded. A fault names the seed by which it is seen again.
"""

from __future__ import annotations

import importlib
import pkgutil
import resource
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, cast

from fluxless.api.failure import Problem
from tools.fuzz import targets

CANARY = "canary-7f3a51c2-not-yours"
"""Stands in a file beside everything that is fuzzed: nothing may bring it out."""
LONGEST = 10.0
"""Seconds for one input."""
MOST = 700 << 20
"""Bytes by which one input may make the process grow."""


@dataclass(frozen=True, slots=True)
class Target:
    """Something that reads what others send; `slow` ones start a process for each input."""

    name: str
    inputs: Callable[[Random], Any]
    judge: Callable[[Any, Path], Any]
    slow: bool


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong with which input."""

    target: str
    seed: int
    what: str
    data: Any

    def __str__(self) -> str:
        again = f"python -m tools.fuzz --target {self.target} --seed {self.seed}"
        return f"{self.target}, seed {self.seed}: {self.what}\ninput: {self.data!r:.2000}\nagain: {again}"


def known() -> dict[str, Target]:
    """All targets by their name."""
    found = {}
    for module in pkgutil.iter_modules(targets.__path__):
        one = importlib.import_module(f"{targets.__name__}.{module.name}")
        found[module.name] = Target(module.name, one.inputs, one.judge, bool(getattr(one, "SLOW", False)))
    return found


def faults(target: Target, seeds: Iterator[int], until: float) -> Iterator[Fault | None]:
    """Try seed after seed until the monotonic clock says `until`: a fault, or None for an input that went well."""
    with tempfile.TemporaryDirectory(prefix="fluxless-fuzz-") as name:
        outside = Path(name)
        for place in ("canary", "canary.yaml", "secret/kustomization.yaml"):
            (outside / place).parent.mkdir(exist_ok=True)
            (outside / place).write_text(f"canary: {CANARY}\n")
        for seed in seeds:
            if time.monotonic() > until:
                return
            yield _try(target, seed, outside)


def _try(target: Target, seed: int, outside: Path) -> Fault | None:
    data = target.inputs(Random(seed))
    folder = outside / "inside"
    folder.mkdir()
    before, began = _grown(), time.monotonic()
    try:
        with _alarm():
            shown = _shown(target.judge(data, folder))
    except Problem as problem:
        shown = str(problem)
    except _TooLongError:
        return Fault(target.name, seed, f"took more than {LONGEST:.0f} s", data)
    except Exception:
        return Fault(target.name, seed, traceback.format_exc(limit=-6), data)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if CANARY in shown:
        return Fault(target.name, seed, f"read a file outside: {shown[:500]}", data)
    if _grown() - before > MOST:
        return Fault(target.name, seed, f"grew by {(_grown() - before) >> 20} MiB", data)
    if time.monotonic() - began > LONGEST:
        return Fault(target.name, seed, f"took {time.monotonic() - began:.0f} s", data)
    return None


def _shown(result: Any) -> str:
    if isinstance(result, Path):
        files = sorted(path for path in result.rglob("*") if path.is_file())
        return "".join(path.read_text(errors="replace")[:10_000] for path in files[:200])
    return result.decode(errors="replace") if isinstance(result, bytes) else repr(result)[:5_000_000]


def _grown() -> int:
    """The most that this process has ever used, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class _TooLongError(BaseException):
    """No handler of what is fuzzed catches it."""


class _alarm:  # noqa: N801
    def __enter__(self) -> None:
        def ring(*_: object) -> None:
            raise _TooLongError

        self._before = signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, LONGEST)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, cast("Any", self._before))
