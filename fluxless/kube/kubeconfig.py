"""Reads kubeconfigs: what a cluster's address is and how to prove who we are. Runs nothing: exec plugins and auth
providers are refused, since a kubeconfig may come from anybody. Files are read for who brings `Files` to read them by:
the app's settings and people at a command line, never objects of a cluster.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.go_yaml import ManifestProblem, load, text_of


class KubeconfigProblem(Problem):
    """A kubeconfig that cannot be used."""

    def __init__(self, where: str, message: str, next_step: str) -> None:
        super().__init__(Failure(FailureClass.VALIDATION, f"kubeconfig {where}: {message}", next_step=next_step))


class FilesRefused(KubeconfigProblem):
    """A kubeconfig names a file, and whoever brings it may not."""


@dataclass(frozen=True, slots=True, repr=False)
class Connection:
    """How to reach an API server. TLS material as PEM bytes; empty values mean "none"."""

    server: str
    ca: bytes = b""
    certificate: bytes = b""
    key: bytes = b""
    token: str = ""
    token_file: str = ""
    username: str = ""
    password: str = ""
    insecure: bool = False
    proxy: str = ""
    server_name: str = ""


def parse(text: str, where: str, *, files: Files | None = None, context: str = "") -> Connection:
    """The connection of a context, the current one unless named. Raises `KubeconfigProblem`, also for a path where
    there are no `files`.
    """
    server, cluster, user = sections(text, where, context)
    if "exec" in user or "auth-provider" in user:
        plugin = (user.get("exec") or {}).get("command", "") if isinstance(user.get("exec"), dict) else ""
        raise KubeconfigProblem(
            where,
            f"the user runs an exec plugin{f' ({plugin})' if plugin else ''}, which is refused",
            "use a kubeconfig with a token or a client certificate, or give the resourceId of an AKS cluster",
        )
    read = _Reader(where, files)
    return Connection(
        server=read.address(server, "server"),
        ca=read.data(cluster, "certificate-authority"),
        certificate=read.data(user, "client-certificate"),
        key=read.data(user, "client-key"),
        token=read.line(text_of(user.get("token")), "token"),
        token_file=read.place(user, "tokenFile"),
        username=text_of(user.get("username")),
        password=text_of(user.get("password")),
        insecure=cluster.get("insecure-skip-tls-verify") is True,
        proxy=read.address(str(cluster.get("proxy-url") or ""), "proxy-url"),
        server_name=read.host(str(cluster.get("tls-server-name") or ""), "tls-server-name"),
    )


def sections(text: str, where: str, context: str = "") -> tuple[str, Mapping[str, Any], Mapping[str, Any]]:
    """Server address, cluster and user of a context, the current one unless named. Raises `KubeconfigProblem`."""
    try:
        document = load(text, where)
    except ManifestProblem as problem:
        first = problem.failures[0]
        line = first.origin.removeprefix(where).removeprefix(":")
        raise KubeconfigProblem(where, f"{first.message}{f' (line {line})' if line else ''}", first.next_step) from None
    if not isinstance(document, dict) or not isinstance(document.get("clusters"), list):
        raise KubeconfigProblem(where, "there is no list of clusters", "give a kubeconfig of kind Config")
    contexts = _named(document, "contexts", "context")
    named = context or str(document.get("current-context") or "")
    current = named or (next(iter(contexts)) if len(contexts) == 1 else "")
    if current not in contexts:
        raise KubeconfigProblem(where, f"there is no context {current!r}", "set current-context to one of its contexts")
    chosen = contexts[current]
    clusters, users = _named(document, "clusters", "cluster"), _named(document, "users", "user")
    cluster = clusters.get(str(chosen.get("cluster")))
    if cluster is None or not cluster.get("server"):
        raise KubeconfigProblem(where, f"context {current!r} names no cluster with a server", "correct the context")
    return str(cluster["server"]), cluster, users.get(str(chosen.get("user")), {})


def _named(document: Mapping[str, Any], section: str, inner: str) -> dict[str, Mapping[str, Any]]:
    entries = document.get(section)
    found = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return {str(entry.get("name")): body if isinstance(body := entry.get(inner), dict) else {} for entry in found}


@dataclass(frozen=True, slots=True)
class Files:
    """Reads what a kubeconfig names by path; relative paths count from `folder`."""

    folder: Path

    def place(self, path: str) -> Path:
        """Where it is."""
        return self.folder / path

    def read(self, path: str) -> bytes:
        """What is in it. Raises OSError."""
        return self.place(path).read_bytes()


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads material given in-line (`<name>-data`), or by path (`<name>`) where there are files. Refuses what no HTTP
    client could send.
    """

    where: str
    files: Files | None

    def data(self, section: Mapping[str, Any], name: str) -> bytes:
        inline, path = section.get(f"{name}-data"), section.get(name)
        if inline:
            try:
                return base64.b64decode(str(inline), validate=False)
            except (binascii.Error, ValueError):
                raise KubeconfigProblem(self.where, f"{name}-data is not base64", "encode it again") from None
        if not path:
            return b""
        try:
            return self._files(name, f"give {name}-data").read(str(path))
        except OSError as error:
            raise KubeconfigProblem(
                self.where, f"{name}: {path} cannot be read ({error.strerror})", "give the data in-line"
            ) from None

    def place(self, section: Mapping[str, Any], name: str) -> str:
        path = section.get(name)
        return str(self._files(name, "give token").place(str(path))) if path else ""

    def address(self, value: str, name: str) -> str:
        """A URL that an HTTP client takes, or nothing. It may hold a password: no message tells it."""
        if not value:
            return ""
        try:
            parts = urlsplit(self.line(value, name))
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            host = ""
        if not host or parts.scheme not in {"http", "https"}:
            raise KubeconfigProblem(self.where, f"{name} is no http or https address", "write it as https://host:port")
        self.host(host, name)
        return value

    def host(self, value: str, name: str) -> str:
        """A name or an address, or nothing."""
        try:
            value.encode("idna")
        except UnicodeError:
            raise KubeconfigProblem(self.where, f"{name} names no host", "correct it") from None
        return self.line(value, name)

    def line(self, value: str, name: str) -> str:
        """What may stand in a header."""
        if not value.isprintable():
            step = "write it in one line, without a line break at its end"
            raise KubeconfigProblem(self.where, f"{name} has characters that cannot be sent", step)
        return value

    def _files(self, name: str, next_step: str) -> Files:
        if self.files is None:
            raise FilesRefused(self.where, f"{name} names a file, and none is read for an object", next_step)
        return self.files
