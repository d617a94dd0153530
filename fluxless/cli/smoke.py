"""After a deployment: does the app run, keep its doors closed, and reach what it is there for?

What counts as well is decided here without I/O; `run` asks until it is, or until the time is over, because roles take
minutes to count.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

PAUSE = 5.0
"""Seconds between two tries."""
SILENT = 120.0
"""Seconds without a heartbeat after which the timer counts as dead."""


class Asks(Protocol):
    """What is needed of Azure."""

    async def keys(self, group: str, app: str) -> tuple[str, str]:
        """The master key and a function key."""
        ...

    async def ask(self, method: str, host: str, path: str, key: str = "") -> tuple[int, Any]:
        """Status and answer of the app; 0 when nobody answers."""
        ...


@dataclass(frozen=True, slots=True)
class Result:
    """One line: what was looked at, whether it is well, and what to do when it is not."""

    ok: bool
    text: str
    step: str = ""


def host_status(status: int, answer: Any) -> Result:
    """Of `/admin/host/status`."""
    state = answer.get("state") if isinstance(answer, Mapping) else ""
    if status == 200 and state == "Running":
        return Result(True, "the host runs")
    errors = "; ".join(map(str, answer.get("errors") or [])) if isinstance(answer, Mapping) else str(answer)[:200]
    words = f"the host does not run ({status}{f', {state}' if state else ''}){f': {errors}' if errors else ''}"
    return Result(False, words, "look at the app's log stream in the portal")


def closed_door(status: int) -> Result:
    """Of a webhook without a signature."""
    if status == 401:
        return Result(True, "a webhook without a signature is refused (401)")
    words = f"a webhook without a signature is answered with {status}, not 401"
    return Result(False, words, "do not let anybody reach the app before this is understood")


def reached(status: int, answer: Any, principal: str, scopes: Mapping[str, str]) -> list[Result]:
    """Of `/api/check`. `scopes` are resource ids by name of cluster or registry, for the command that gives a role."""
    if status != 200 or not isinstance(answer, Mapping):
        words = f"the app does not say how it is ({status}): {str(answer)[:300]}"
        return [Result(False, words, "correct what it names")]
    beat = answer.get("heartbeat")
    if beat is None or beat > SILENT:
        since = "never" if beat is None else f"{beat:.0f} s ago"
        step = "restart the app: timers on Flex Consumption can stand still after a deployment"
        found = [Result(False, f"the timer ran {since}", step)]
    else:
        found = [Result(True, f"the timer ran {beat:.0f} s ago")]
    for field, what in (("clusters", "cluster"), ("registries", "registry")):
        for one in answer.get(field) or []:
            step = "" if one["ok"] else _give(one, principal, scopes)
            found.append(Result(bool(one["ok"]), f"{what} {one['name']}: {one['message']}", step))
    return found


def _give(one: Mapping[str, Any], principal: str, scopes: Mapping[str, str]) -> str:
    role = str(one.get("missing") or "").partition(" on the ")[0]
    if not role:
        return "see the message"
    scope = scopes.get(str(one["name"]), f"<resource id of {one['name']}>")
    return (
        f"az role assignment create --assignee-object-id {principal} --assignee-principal-type ServicePrincipal "
        f'--role "{role}" --scope {scope}'
    )


async def run(
    azure: Asks,
    group: str,
    app: str,
    host: str,
    principal: str,
    scopes: Mapping[str, str],
    registries: Iterable[str],
    within: float,
) -> list[Result]:
    """Everything in order; what is not well yet is asked again, for `within` seconds. Raises `Problem`."""
    until = time.monotonic() + within
    master, key = await azure.keys(group, app)

    async def look() -> list[Result]:
        results = [host_status(*await azure.ask("GET", host, "/admin/host/status", master))]
        if not results[0].ok:
            return results
        results.append(closed_door((await azure.ask("POST", host, "/api/hooks/github"))[0]))
        path = f"/api/check?registries={','.join(registries)}"
        return results + reached(*await azure.ask("GET", host, path, key), principal, scopes)

    results = await look()
    while not all(result.ok for result in results) and time.monotonic() < until:
        await asyncio.sleep(PAUSE)
        results = await look()
    return results
