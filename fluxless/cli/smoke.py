"""After a deployment: does the app run, keep its doors closed, and reach what it is there for?

What counts as well is decided here without I/O; `run` asks until it is, until the time is over, because roles take
minutes to count, or until only that is left which time does not cure. `deploy.py` calls it; no key is shown.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from fluxless.api.failure import Problem
from fluxless.auth.purposes import ACR, AKS
from fluxless.cli.check import OVERDUE

PAUSE = 5.0
"""Seconds between two tries."""


class Asks(Protocol):
    """What is needed of Azure."""

    async def keys(self, group: str, app: str) -> tuple[str, str]:
        """The master key and a function key."""
        ...

    async def ask(self, method: str, host: str, path: str, key: str = "") -> tuple[int, Any]:
        """Status and answer of the app; 0 when nobody answers."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """The app that is looked at. `scopes` are resource ids by name of cluster or login server of registry, for the
    command that gives a role, and `registries` those login servers; `roles` are those that differ from what the app
    asks for. With `bound`, the clusters know Kubernetes' own RBAC only, and no role of Azure counts within them. A
    `container` is no site of App Service: ARM has no keys of it, and what it reaches is asked with `key`, where there
    is one.
    """

    group: str
    name: str
    host: str
    principal: str
    scopes: Mapping[str, str]
    registries: tuple[str, ...] = ()
    roles: Mapping[str, str] = field(default_factory=dict)
    bound: bool = False
    container: bool = False
    key: str = ""
    reader: str = ""

    @property
    def check(self) -> str:
        """Where the app says what it reaches: its clusters, and these registries."""
        return f"/api/check?registries={','.join(self.registries)}"


@dataclass(frozen=True, slots=True)
class Result:
    """One line: what was looked at, whether it is well, and what to do when it is not. What is `final` is no better in
    a minute; what was `skipped` was not looked at; a `warning` is of an object of somebody's, not of the app.
    """

    ok: bool
    text: str
    step: str = ""
    final: bool = False
    skipped: bool = False
    warning: bool = False


def host_status(status: int, answer: Any) -> Result:
    """Of `/admin/host/status`."""
    state = answer.get("state") if isinstance(answer, Mapping) else ""
    if status == 200 and state == "Running":
        return Result(True, "the host runs")
    errors = "; ".join(map(str, answer.get("errors") or [])) if isinstance(answer, Mapping) else str(answer)[:200]
    words = f"the host does not run ({status}{f', {state}' if state else ''}){f': {errors}' if errors else ''}"
    return Result(False, words, "look at the app's log stream in the portal")


def answering(status: int) -> Result:
    """Of `/admin/host/ping`, which takes no key."""
    if status == 200:
        return Result(True, "the host answers")
    return Result(
        False, f"the host does not answer ({status})", "look at the log stream of the container in the portal"
    )


def closed_door(status: int) -> Result:
    """Of a webhook without a signature."""
    if status == 401:
        return Result(True, "a webhook without a signature is refused (401)")
    words = f"a webhook without a signature is answered with {status}, not 401"
    if 200 <= status < 300:
        return Result(False, words, "do not let anybody reach the app before this is understood", final=True)
    return Result(False, words, "look at the app's log stream in the portal")


def reached(status: int, answer: Any, target: Target) -> list[Result]:
    """Of `/api/check`."""
    if status != 200 or not isinstance(answer, Mapping):
        words = f"the app does not say what it reaches ({status}): {str(answer)[:300]}"
        return [Result(False, words, "correct what it names; the app's log stream in the portal says more")]
    beat = answer.get("heartbeat")
    if beat is None or beat > OVERDUE:
        since = "never" if beat is None else f"{beat:.0f} s ago"
        step = "restart the app: timers on Flex Consumption can stand still after a deployment"
        found = [Result(False, f"the timer ran {since}", step)]
    else:
        found = [Result(True, f"the timer ran {beat:.0f} s ago")]
    for kind, what in (("clusters", "cluster"), ("registries", "registry")):
        for one in answer.get(kind) or []:
            text = f"{what} {one['name']}: {one['message']}"
            found.append(Result(True, text) if one["ok"] else _refused(one, text, target))
    for one in answer.get("programs") or []:
        text = f"program {one['name']}: {one['message']}"
        found.append(Result(bool(one["ok"]), text, "" if one["ok"] else "see the message", final=True))
    for one in answer.get("objects") or []:
        found.append(Result(True, f"{one['name']} is refused: {one['message']}", warning=True))
    return found


def _refused(one: Mapping[str, Any], text: str, target: Target) -> Result:
    """Registries are read by the `reader`, where sources have an identity of their own."""
    name = str(one["name"])
    scope = target.scopes.get(name, "")
    if one.get("install"):
        which = f"--resource-id {scope} " if scope else ""
        return Result(False, text, f"fluxless {which}install", final=True)
    if not one.get("missing"):
        return Result(False, text, "see the message")
    if target.bound and one["missing"] == AKS.role:
        binding = f"fluxless --clusterrole cluster-admin --user {target.principal}"
        return Result(False, text, f"in that cluster: kubectl create clusterrolebinding {binding}")
    principal = target.reader if target.reader and one["missing"] == ACR.role else target.principal
    role = target.roles.get(name) or str(one["missing"]).partition(" on the ")[0]
    return Result(
        False,
        text,
        f"az role assignment create --assignee-object-id {principal} --assignee-principal-type ServicePrincipal "
        f'--role "{role}" --scope {scope or f"<resource id of {name}>"}',
    )


async def run(azure: Asks, target: Target, within: float, say: Callable[[str], None]) -> list[Result]:
    """Everything in order; what time may cure is asked again, for `within` seconds, and `say` is told once what is
    waited for.
    """
    until = time.monotonic() + within
    told = False
    while True:
        results = await _look(azure, target)
        open_ends = [result for result in results if not result.ok and not result.final]
        if not open_ends or time.monotonic() >= until:
            return results
        if not told:
            say(f"waiting, {within:.0f} s at most: {open_ends[0].text}")
            told = True
        await asyncio.sleep(PAUSE)


async def _look(azure: Asks, target: Target) -> list[Result]:
    if target.container:
        key = target.key
        results = [answering((await azure.ask("GET", target.host, "/admin/host/ping"))[0])]
    else:
        try:
            master, key = await azure.keys(target.group, target.name)
        except Problem as problem:  # ARM asks the app for them, and the app may just be starting
            failure = problem.failures[0]
            return [Result(False, f"the app's keys cannot be read: {failure.message}", failure.next_step)]
        results = [host_status(*await azure.ask("GET", target.host, "/admin/host/status", master))]
    if not results[0].ok:
        return results
    results.append(closed_door((await azure.ask("POST", target.host, "/api/hooks/github"))[0]))
    if target.container and not key:
        words = "what the app reaches was not asked: give a function key of it as FUNCTIONS_KEY"
        return [*results, Result(True, words, skipped=True)]
    return results + reached(*await azure.ask("GET", target.host, target.check, key), target)
