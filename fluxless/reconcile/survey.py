"""What one look at a cluster found, shared by everything that is reconciled on its strength.

The engine takes a survey for every plan and hands it to the steps that the plan started (in the same worker), so a
thousand objects cost one LIST per kind and one GET per Secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from fluxless.api.kinds import Kind
from fluxless.apply.census import Census
from fluxless.apply.fields import TAKEN_OVER, Managers
from fluxless.kube.client import Cluster
from fluxless.reconcile import world as worlds
from fluxless.reconcile.configs import ConfigWatch
from fluxless.reconcile.secrets import References
from fluxless.reconcile.world import FLUX_RULES, Rules, World


@dataclass(frozen=True, slots=True)
class Survey:
    """A world with the lazy parts around it, one of each for every connection that a step uses: a census of applied
    objects, and the Secrets that are referred to.
    """

    cluster: Cluster
    world: World
    managers: Managers = TAKEN_OVER
    _views: dict[Cluster, tuple[Census, References]] = field(default_factory=dict)

    def census(self, cluster: Cluster) -> Census:
        """What lives in a cluster, as whoever that connection speaks for sees it."""
        return self._view(cluster)[0]

    def references(self, cluster: Cluster) -> References:
        """Secrets and ConfigMaps, as whoever that connection speaks for may read them."""
        return self._view(cluster)[1]

    def _view(self, cluster: Cluster) -> tuple[Census, References]:
        if cluster not in self._views:
            self._views[cluster] = (Census(cluster, managers=self.managers), References(cluster))
        return self._views[cluster]


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
