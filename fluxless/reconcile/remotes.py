"""Connections to clusters that objects name themselves (`spec.kubeConfig`): opened once per content, kept a while.

Here is decided which clusters objects may open as the app: those that the app setting of their own cluster names.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakSet, WeakValueDictionary

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.kube.client import Cluster
from fluxless.kube.connect import Brought, ClusterConfig, Minted, Named, connect_brought, connect_named

if TYPE_CHECKING:
    from fluxless.auth.identity import Identity

KEPT = 50
"""Connections; above that, those of the namespace that has most are closed, as soon as nobody uses them."""
FRESH = 3300.0
"""Seconds after which a connection is opened anew: credentials from ARM and token requests live for an hour."""


class ClusterRefused(Problem):
    """An object may not open a cluster as the app."""


class Remotes:
    """`get` opens or returns a connection; `close` ends all. `clusters` are those of the app settings."""

    def __init__(self, clusters: Mapping[str, ClusterConfig] | None = None) -> None:
        self._clusters = clusters or {}
        self._open: OrderedDict[str, _Line] = OrderedDict()
        self._left: list[_Line] = []
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def as_app(self, by: str, label: str, resource_id: str) -> Named:
        """A cluster that an object of the cluster `by` names without an account, so that the app opens it. Raises
        `ClusterRefused` naming the setting where that is not allowed.
        """
        from fluxless.auth.identity import credential

        config = self._clusters.get(by, ClusterConfig(by))
        if resource_id.lower() not in config.may_open:
            words = f"objects of cluster {by!r} may not open {resource_id} as the app"
            step = (
                f'add it to "mayOpen" of {by!r} in the app setting FLUXLESS_CLUSTERS, or let the ConfigMap name a '
                "serviceAccountName that is federated with an identity of its own"
            )
            raise ClusterRefused(Failure(FailureClass.FORBIDDEN, words, next_step=step))
        client_id = config.open_as or os.environ.get("FLUXLESS_IDENTITY_CLIENT_ID") or None

        async def identity() -> Identity:
            return credential(client_id)

        return Named(label, resource_id, f"app/{client_id or ''}", identity, listed=True)

    async def get(self, config: Brought | Minted | Named, user: object) -> Cluster:
        """The connection for a kubeconfig or a name. It stays open for as long as `user` lives, whoever else comes.
        Raises `Problem`.
        """
        key, whose = _key(config), _whose(config)
        turn = self._turns.setdefault(key, asyncio.Lock())
        async with turn:
            line = self._open.get(key)
            if line is None or time.monotonic() - line.opened > FRESH or line.cluster.unknown:
                fresh = await _opened(config, whose)
                self._leave(key)
                self._open[key] = line = fresh
            self._open.move_to_end(key)
            line.users.add(user)
        while len(self._open) > KEPT:
            self._leave(self._spared())
        await self._close([line for line in self._left if not line.users])
        return line.cluster

    def _spared(self) -> str:
        """Of the namespace that has most, the one that was not used for longest."""
        count = Counter(line.whose for line in self._open.values())
        most = max(count.values())
        return next(key for key, line in self._open.items() if count[line.whose] == most)

    def _leave(self, key: str) -> None:
        line = self._open.pop(key, None)
        if line is not None:
            self._left.append(line)

    async def _close(self, lines: list[_Line]) -> None:
        self._left = [line for line in self._left if line not in lines]
        for line in lines:
            await line.cluster.close()
            if line.own is not None:
                await line.own.close()

    async def close(self) -> None:
        """Give back every connection."""
        lines = [*self._open.values(), *self._left]
        self._open.clear()
        await self._close(lines)


@dataclass(eq=False, slots=True)
class _Line:
    """An open connection. `users` are those who may still ask something; who is gone counts no more."""

    cluster: Cluster
    own: Identity | None
    whose: str
    opened: float = field(default_factory=time.monotonic)
    users: WeakSet[object] = field(default_factory=WeakSet)


def _key(config: Brought | Minted | Named) -> str:
    """Nobody shares a connection, its budget and the name in its errors with another namespace, but for those that the
    app's settings list.
    """
    match config:
        case Brought():
            text = f"{config.name}\0{config.text}"
        case Minted():
            text = f"{config.name}\0{config.of}"
        case Named():
            text = f"{_whose(config)}\0{config.resource_id.lower()}\0{config.who}"
    return hashlib.sha256(f"{type(config).__name__}\0{text}".encode()).hexdigest()


def _whose(config: Brought | Minted | Named) -> str:
    """Cluster and namespace; empty for the app's own."""
    listed = isinstance(config, Named) and config.listed
    return "" if listed else config.name.rpartition("/")[0]


async def _opened(config: Brought | Minted | Named, whose: str) -> _Line:
    match config:
        case Brought():
            return _Line(await connect_brought(config), None, whose)
        case Minted():
            brought = Brought(config.name, await config.kubeconfig())
            return _Line(await connect_brought(brought), None, whose)
        case Named():
            identity = await config.identity()
            own = None if identity.shared else identity
            try:
                return _Line(await connect_named(config, identity), own, whose)
            except BaseException:
                if own is not None:
                    await own.close()
                raise
