"""What one look at a cluster found, shared by everything that is reconciled on its strength.

The engine takes a survey for every plan and hands it to the steps that the plan started (in the same worker), so a
thousand objects cost one LIST per kind and one GET per Secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from fluxless.api.kinds import Kind
from fluxless.apply.census import Census
from fluxless.apply.fields import TAKEN_OVER, Managers
from fluxless.kube.client import Cluster
from fluxless.reconcile import world as worlds
from fluxless.reconcile.configs import ConfigWatch
from fluxless.reconcile.secrets import References
from fluxless.reconcile.world import FLUX_RULES, Rules, World

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Survey:
    """A world with the lazy parts around it, one of each for every connection that a step uses: a census of applied
    objects, and the Secrets that are referred to.
    """

    cluster: Cluster
    world: World
    managers: Managers = TAKEN_OVER
    _shared: dict[tuple[Cluster, str], Any] = field(default_factory=dict)

    def census(self, cluster: Cluster) -> Census:
        """What lives in a cluster, as whoever that connection speaks for sees it."""
        return self.shared(cluster, "census", lambda: Census(cluster, managers=self.managers))

    def references(self, cluster: Cluster) -> References:
        """Secrets and ConfigMaps, as whoever that connection speaks for may read them."""
        return self.shared(cluster, "references", lambda: References(cluster))

    def shared(self, cluster: Cluster, what: str, make: Callable[[], T]) -> T:
        """One of each for every connection, made for the first who asks; it is never older than the survey."""
        key = (cluster, what)
        if key not in self._shared:
            self._shared[key] = make()
        found: T = self._shared[key]
        return found


async def take(
    cluster: Cluster,
    kinds: Iterable[Kind],
    clock: Callable[[], float],
    watch: ConfigWatch | None = None,
    *,
    rules: Rules = FLUX_RULES,
    managers: Managers = TAKEN_OVER,
) -> Survey:
    """List the Flux objects now, and look at what they refer to; everything else is read when somebody asks for it.

    `managers` as in `Census`.
    """
    world = await worlds.take(cluster, kinds, clock(), rules)
    if watch is not None:
        world = replace(world, configs=await watch.look(cluster, world.objects.values()))
    return Survey(cluster, world, managers)
