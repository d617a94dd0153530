"""Where objects lead that the app does not call: what `/api/check` says of it, before their conditions do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from fluxless import connections
from fluxless.addresses import AddressRefused
from fluxless.connections import reachable

AT_MOST = 500
"""Hosts that are looked up."""
AT_ONCE = 16
WITHIN = 8.0
"""Seconds for all of a cluster."""
_PORTS = {"http": 80, "ssh": 22}


async def refused(objects: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Why, by host, for every host of an object that is not suspended. Names that nobody knows are left out."""
    hosts = dict.fromkeys(end for obj in objects for end in _ends(obj))
    slots = asyncio.Semaphore(AT_ONCE)
    found: dict[str, str] = {}

    async def look(host: str, port: int) -> None:
        async with slots:
            try:
                reachable(host, await connections.found(host, port))
            except AddressRefused as problem:
                found[host] = f"{problem}; {problem.next_step}"
            except (OSError, UnicodeError):
                pass

    try:
        async with asyncio.timeout(WITHIN):
            await asyncio.gather(*(look(host, port) for host, port in list(hosts)[:AT_MOST]))
    except TimeoutError:
        pass  # what was found until then
    return dict(sorted(found.items()))


def _ends(obj: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Host and port of every address that stands in a spec; those in Secrets are not read for this."""
    spec = obj.get("spec") or {}
    if spec.get("suspend"):
        return
    providers = spec.get("oidcProviders") or []
    given = [spec.get("url"), (spec.get("sts") or {}).get("endpoint"), *(one.get("issuerURL") for one in providers)]
    endpoint = str(spec.get("endpoint") or "")
    if endpoint:
        given.append(endpoint if "://" in endpoint else f"https://{endpoint}")
    for url in given:
        try:
            parts = urlsplit(str(url or ""))
            if parts.hostname:
                yield parts.hostname, parts.port or _PORTS.get(parts.scheme, 443)
        except ValueError:
            continue  # its own condition says so
