"""Starts the registry of the distribution project on 127.0.0.1, open or with users or tokens, over HTTP or TLS."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tools import binaries, processes
from tools.places import free_port

USER, PASSWORD = "flux", "right"
_HTPASSWD = f"{USER}:$2b$04$6vAbsw3/9NDOXLDK5kSVIe6TD7jTMfyvTiCWoP83XyX9vF8EP2RaS\n"
"""The bcrypt of PASSWORD, at its lowest cost."""


@dataclass(frozen=True, slots=True)
class TokenServer:
    """Who gives the registry's clients their tokens; `certificate` is the PEM of whoever signs them."""

    realm: str
    service: str
    issuer: str
    certificate: Path


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files; with `clients`, every client must show a certificate of that authority."""

    certificate: Path
    key: Path
    clients: Path | None = None


def start(folder: Path, *, users: bool = False, tokens: TokenServer | None = None, tls: TlsFiles | None = None) -> str:
    """Start one with its data in the folder; `host:port`. Raises RuntimeError."""
    folder.mkdir(parents=True, exist_ok=True)
    port_file = folder / "registry.port"
    if not port_file.is_file():
        port_file.write_text(str(free_port()))
    port = int(port_file.read_text())
    if processes.running(folder, "registry") is None:
        settings = folder / "registry.yaml"
        settings.write_text(yaml.safe_dump(_settings(folder, port, users, tokens, tls)))
        environment = {"OTEL_TRACES_EXPORTER": "none"}
        command: list[str | Path] = [binaries.find(binaries.REGISTRY), "serve", settings]
        processes.start("registry", command, folder, env=environment)
    processes.wait_for("the registry", lambda: _listens(port), 30.0, folder / "registry.log")
    return f"127.0.0.1:{port}"


def stop(folder: Path, *, kill: bool = False) -> None:
    """End it; its data stays in the folder."""
    processes.stop(folder, "registry", kill=kill)


def _settings(folder: Path, port: int, users: bool, tokens: TokenServer | None, tls: TlsFiles | None) -> dict[str, Any]:
    http: dict[str, Any] = {"addr": f"127.0.0.1:{port}", "secret": "local"}
    if tls is not None:
        http["tls"] = {"certificate": str(tls.certificate), "key": str(tls.key)}
        if tls.clients is not None:
            http["tls"] |= {"clientcas": [str(tls.clients)], "clientauth": "require-and-verify-client-cert"}
    settings: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": http,
    }
    if users:
        (folder / "htpasswd").write_text(_HTPASSWD)
        settings["auth"] = {"htpasswd": {"realm": "registry", "path": str(folder / "htpasswd")}}
    if tokens is not None:
        settings["auth"] = {
            "token": {
                "realm": tokens.realm,
                "service": tokens.service,
                "issuer": tokens.issuer,
                "rootcertbundle": str(tokens.certificate),
                "signingalgorithms": ["ES256"],
            }
        }
    return settings


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
