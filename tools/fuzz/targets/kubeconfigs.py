"""Kubeconfigs out of Secrets: `kube.kubeconfig`."""

from __future__ import annotations

from pathlib import Path
from random import Random

from fluxless.kube.kubeconfig import parse
from tools.fuzz import odd

_SOUND = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "a",
    "clusters": [{"name": "a", "cluster": {"server": "https://a.example", "certificate-authority-data": "LS0t"}}],
    "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a", "namespace": "x"}}],
    "users": [{"name": "a", "user": {"token": "t", "client-certificate-data": "LS0t", "client-key-data": "LS0t"}}],
}
OUTSIDE = "@outside@"
"""Becomes the path of the folder in which the canary is."""
_PATHS = ("../canary", "/proc/self/environ", f"{OUTSIDE}/canary", f"{OUTSIDE}/canary.yaml")
_BY_PATH = ("tokenFile", "client-certificate", "client-key", "certificate-authority")


def inputs(random: Random) -> bytes:
    """One with odd values, often with the path of a file."""
    config = odd.changed(random, _SOUND)
    if random.random() < 0.5 and isinstance(config, dict):
        for section, inner in (("users", "user"), ("clusters", "cluster")):
            config[section] = [
                {"name": "a", inner: {"server": "https://a", random.choice(_BY_PATH): random.choice(_PATHS)}}
            ]
        config["contexts"], config["current-context"] = _SOUND["contexts"], "a"
    data = odd.as_json(config)
    return odd.bent(random, data, [b"!!binary ", b"!!int ", b"&a ", b"*a", b"\0"]) if random.random() < 0.3 else data


def judge(data: bytes, folder: Path) -> object:
    """As an object's."""
    return parse(data.decode(errors="replace").replace(OUTSIDE, str(folder.parent)), "the Secret")
