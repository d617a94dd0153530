"""Records of releases, which whoever writes Secrets of a namespace may write: `helm.release`."""

from __future__ import annotations

import base64
import gzip
from functools import lru_cache
from pathlib import Path
from random import Random

from fluxless.helm.release import UnreadableRecord, failed_record, read
from tools.fuzz import odd

_HOOK = {
    "name": "t",
    "kind": "Pod",
    "events": ["test"],
    "last_run": {"phase": "Succeeded", "started_at": "2026-01-01T00:00:00.123456789Z"},
}
_RELEASE = {
    "name": "app",
    "namespace": "n",
    "version": 1,
    "info": {
        "status": "deployed",
        "first_deployed": "2026-01-01T00:00:00Z",
        "last_deployed": "2026-01-01T00:00:00Z",
        "deleted": "",
    },
    "chart": {
        "metadata": {"name": "web", "version": "1.0.0", "appVersion": "1"},
        "values": {"a": 1},
        "templates": [{"name": "x"}],
    },
    "config": {"a": {"b": [1, None, "x"]}},
    "manifest": "---\nkind: ConfigMap\n",
    "hooks": [_HOOK],
    "labels": {"a": "b"},
}


@lru_cache(maxsize=1)
def _bomb() -> bytes:
    return base64.b64encode(gzip.compress(b" " * (70 << 20), compresslevel=1))


def inputs(random: Random) -> bytes:
    """What stands in such a Secret."""
    if random.random() < 0.02:
        return _bomb()
    text = odd.as_json(odd.changed(random, _RELEASE))
    if random.random() < 0.2:
        text = odd.bent(random, text)
    packed = gzip.compress(text, compresslevel=1)
    return base64.b64encode(odd.bent(random, packed) if random.random() < 0.1 else packed)


def judge(data: bytes, folder: Path) -> object:
    """All that is asked of a record."""
    name = "sh.helm.release.v1.app.v1"
    secret = {
        "metadata": {"name": name, "uid": "u", "resourceVersion": "1"},
        "data": {"release": base64.b64encode(data).decode()},
    }
    try:
        record = read(secret)
    except UnreadableRecord as problem:
        return str(problem)
    return [
        record.tests([]),
        record.tests([{"name": "t"}]),
        record.snapshot(),
        record.digest(""),
        len(str(failed_record(record, "x"))),
    ]
