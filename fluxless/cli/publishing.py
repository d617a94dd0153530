"""The package, taken to the app by One Deploy: uploaded, its Python packages installed over there, and the log read
when that fails. `arm.py` calls it and says who we are.

A first deployment uses roles that it has just assigned. Until they count, the app cannot write the package into its own
storage account (403), so what looks like that is tried again. The token is sent to the given address only.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluxless.api.failure import Problem
from fluxless.cli.refusals import problem
from fluxless.transport import session, words

if TYPE_CHECKING:
    import aiohttp

BUILD_WITHIN = 900.0
"""Seconds for the upload, and for installing the Python packages."""
POLL = 3.0
"""Seconds between two looks at a build."""
AGAIN = 15.0
"""Seconds until the package is sent again."""
BUILT, BROKEN = {4}, {3, 5, 6}
"""States of a deployment of Kudu: success; failure, conflict, partial success."""
TAKEN = {200, 202}
NOT_YET = {403, 404, 409, 429, 500, 502, 503, 504}
"""Answers of a site that is being made, is busy, or whose roles do not count yet."""
LINES, LONGEST = 15, 2000
"""Of a log that is shown, from its end: lines, and characters."""
_STORAGE = re.compile(
    r"InaccessibleStorage|BlobUpload|storage[^\n]{0,200}\b403\b|\b403\b[^\n]{0,200}storage", re.IGNORECASE
)


class NotYet(Problem):
    """It may work in a minute."""


async def publish(scm: str, token: str, package: Path, within: float) -> None:
    """Send the package to `https://<app>.scm…` and wait for its build; for `within` seconds it is sent again when the
    app is not ready for it. Raises `Problem` with the end of the log.
    """
    until = time.monotonic() + within
    data = await asyncio.to_thread(package.read_bytes)
    while True:
        try:
            async with session(timeout=BUILD_WITHIN, headers={"Authorization": f"Bearer {token}"}) as http:
                return await _build(http, scm, await _send(http, scm, data))
        except NotYet:
            if time.monotonic() >= until:
                raise
        await asyncio.sleep(AGAIN)


async def _send(http: aiohttp.ClientSession, scm: str, data: bytes) -> str:
    """The id of the deployment."""
    import aiohttp

    try:
        headers = {"Content-Type": "application/zip"}
        async with http.post(f"{scm}/api/publish?RemoteBuild=true", data=data, headers=headers) as answer:
            status, text = answer.status, (await answer.text()).strip()
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise _not_yet(f"{scm} does not answer: {words(error, BUILD_WITHIN)[0]}") from error
    if status in TAKEN:
        return _id(text)
    said = f"the package was not taken ({status}): {text[:500] or 'no reason was given'}"
    if status in NOT_YET:
        raise _not_yet(said)
    raise problem(said, "you need Contributor on the app; run `az login`" if status == 401 else "deploy again")


async def _build(http: aiohttp.ClientSession, scm: str, name: str) -> None:
    where = f"{scm}/api/deployments/{name}"
    until = time.monotonic() + BUILD_WITHIN
    while time.monotonic() < until:
        found = await _get(http, where)
        state = found.get("status") if isinstance(found, dict) else None
        if state in BUILT:
            return
        if state in BROKEN:
            said = str(found.get("status_text") or found.get("message") or "no reason was given")
            log = await _log(http, scm, where)
            text = f"the package was not built: {said[:1000]}{f'; its log ends with: {log}' if log else ''}"
            if _STORAGE.search(text):
                raise _not_yet(text)
            raise problem(text, f"all of the log is at {where}/log")
        await asyncio.sleep(POLL)
    raise problem(f"the package was not built within {BUILD_WITHIN:.0f} s", f"look at {where}/log, and deploy again")


async def _log(http: aiohttp.ClientSession, scm: str, where: str) -> str:
    """The end of what the build said: Kudu keeps entries, and lines of some of them at addresses of their own."""
    lines: list[str] = []
    for entry in _entries(await _get(http, f"{where}/log")):
        lines += str(entry.get("message") or "").splitlines()
        details = str(entry.get("details_url") or "")
        if details.startswith(f"{scm}/"):
            for inner in _entries(await _get(http, details)):
                lines += str(inner.get("message") or "").splitlines()
    said = [line.strip() for line in lines if line.strip()]
    return " | ".join(said[-LINES:])[-LONGEST:]


def _entries(found: Any) -> list[dict[str, Any]]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


async def _get(http: aiohttp.ClientSession, url: str) -> Any:
    """JSON, or None for anything else: a site that starts anew answers nothing for a while."""
    import aiohttp

    try:
        async with http.get(url) as answer:
            return await answer.json(content_type=None) if answer.status in TAKEN else None
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return None


def _id(text: str) -> str:
    try:
        found = json.loads(text)
    except ValueError:
        found = text
    if isinstance(found, dict):
        found = found.get("id")
    return str(found or "latest")


def _not_yet(text: str) -> NotYet:
    step = "deploy again in a few minutes: roles that were just assigned, and a new app, take time"
    return NotYet(problem(text, step).failures)
