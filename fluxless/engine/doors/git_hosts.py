"""Pushes told by GitLab (`POST /api/hooks/gitlab`) and Azure DevOps (`POST /api/hooks/azuredevops`).

Sources: GitLab's documentation of webhooks; Azure DevOps' of service hooks (event `git.push`, basic authentication).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

from fluxless.engine.directory import git_key
from fluxless.engine.doors import Answer, same, texts, too_large, unset
from fluxless.notification.signatures import parsed

GITLAB_SETTING = "FLUXLESS_GITLAB_WEBHOOK_SECRET"
DEVOPS_SETTING = "FLUXLESS_AZUREDEVOPS_WEBHOOK_SECRET"
_PUSHES = {"Push Hook", "Tag Push Hook", "System Hook"}
_OLD_HOST = re.compile(r"^https://([^./]+)\.visualstudio\.com/(?:DefaultCollection/)?(.*)$", re.IGNORECASE)


def gitlab(headers: Mapping[str, str], body: bytes, secret: str) -> Answer:
    """Check a delivery. Headers are looked up in lower case."""
    if refused := too_large(body):
        return refused
    if not secret:
        return unset(GITLAB_SETTING)
    if not same(headers.get("x-gitlab-token", ""), secret):
        return Answer(401, "X-Gitlab-Token is absent or does not match the webhook secret")
    event = headers.get("x-gitlab-event", "")
    if event not in _PUSHES:
        return Answer(202, f"nothing to do for event {event[:40]!r}")
    payload = parsed(body)
    if not isinstance(payload, dict):
        return Answer(400, "the body is not the JSON of a GitLab event")
    urls = texts(payload.get("project"), "git_http_url", "git_ssh_url", "web_url")
    if not urls:
        return Answer(400, "the push names no project URL")
    return Answer(202, "accepted", tuple(map(git_key, urls)))


def azure_devops(headers: Mapping[str, str], body: bytes, secret: str) -> Answer:
    """Check a delivery: the secret is the password of basic authentication, with any user name."""
    if refused := too_large(body):
        return refused
    if not secret:
        return unset(DEVOPS_SETTING)
    if not same(_password(headers.get("authorization", "")), secret):
        return Answer(401, "the password of basic authentication is absent or does not match the webhook secret")
    payload = parsed(body)
    if not isinstance(payload, dict):
        return Answer(400, "the body is not the JSON of a service hook")
    event = str(payload.get("eventType", ""))
    if event != "git.push":
        return Answer(202, f"nothing to do for event {event[:40]!r}")
    resource = payload.get("resource")
    urls = texts(resource.get("repository") if isinstance(resource, dict) else None, "remoteUrl", "sshUrl", "webUrl")
    if not urls:
        return Answer(400, "the push names no repository: send all resource details with the event")
    return Answer(202, "accepted", tuple(git_key(url) for spelled in urls for url in _spellings(spelled)))


def _spellings(url: str) -> list[str]:
    """Azure DevOps has an old and a new name for each organisation."""
    old = _OLD_HOST.match(url)
    return [url, f"https://dev.azure.com/{old[1]}/{old[2]}"] if old else [url]


def _password(header: str) -> str:
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(rest, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
