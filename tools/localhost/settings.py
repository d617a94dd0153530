"""host.json, local.settings.json and the environment. Read once, before the app is imported."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SETTING = re.compile(r"%([^%]+)%")


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What of host.json and of Functions' own app settings this host obeys. Times in seconds, sizes in bytes."""

    route_prefix: str = "api"
    hub: str = "LocalHub"
    function_timeout: float = 1800.0
    max_activities: int = 10
    max_orchestrators: int = 5
    max_dequeue: int = 5
    queue_batch: int = 16
    queue_base64: bool = True
    body_limit: int = 104857600


def expand(text: str) -> str:
    """`%NAME%` by the app setting of that name. Raises KeyError naming the setting that is missing."""
    return _SETTING.sub(lambda match: os.environ[match[1]], text)


def read_host(folder: Path) -> HostSettings:
    """From `host.json`; what it does not say has the default of Azure Functions."""
    path = folder / "host.json"
    document: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    extensions = document.get("extensions", {})
    durable, queues = extensions.get("durableTask", {}), extensions.get("queues", {})
    default = HostSettings()
    return HostSettings(
        route_prefix=extensions.get("http", {}).get("routePrefix", default.route_prefix).strip("/"),
        hub=expand(durable.get("hubName", default.hub)),
        function_timeout=seconds_of(document.get("functionTimeout")) or default.function_timeout,
        max_activities=durable.get("maxConcurrentActivityFunctions", default.max_activities),
        max_orchestrators=durable.get("maxConcurrentOrchestratorFunctions", default.max_orchestrators),
        max_dequeue=queues.get("maxDequeueCount", default.max_dequeue),
        queue_base64=queues.get("messageEncoding", "base64") != "none",
        body_limit=int(os.environ.get("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT") or default.body_limit),
        queue_batch=min(32, queues.get("batchSize", default.queue_batch)),
    )


def seconds_of(text: str | None) -> float:
    """`hh:mm:ss`; 0 for "-1", which means no limit in some plans."""
    if not text or text == "-1":
        return 0.0
    hours, minutes, seconds = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def load_environment(folder: Path, extra: Path | None) -> None:
    """App settings of `local.settings.json`, then lines `NAME=value` of `extra`; the environment wins over both."""
    found: dict[str, str] = {}
    local = folder / "local.settings.json"
    if local.is_file():
        found |= {key: str(value) for key, value in json.loads(local.read_text()).get("Values", {}).items()}
    if extra is not None:
        for line in extra.read_text().splitlines():
            key, separator, value = line.partition("=")
            if separator and not line.startswith("#"):
                found[key.strip()] = value.strip()
    for key, value in found.items():
        os.environ.setdefault(key, value)
