"""A HelmRelease can be deleted, whatever has gone before it (HR-77)."""

import asyncio

import pytest

from tests.support.charts import ChartServer
from tests.support.flux import Flux, message, ready
from tests.support.releases import API, RELEASE, put_release, records, the_release

pytestmark = pytest.mark.cluster


async def _released(flux: Flux) -> None:
    await put_release(flux, "web")
    await flux.run(patience=5)
    assert ready(await the_release(flux))[0] == "True", message(await the_release(flux))


@pytest.mark.parametrize(
    ("spec", "gone"),
    [
        ({"kubeConfig": {"secretRef": {"name": "gone"}}}, "Secret"),
        ({"kubeConfig": {"configMapRef": {"name": "gone"}}}, "ConfigMap"),
        ({"serviceAccountName": "gone"}, "service account"),
    ],
)
async def test_a_release_that_nobody_reaches_any_more_is_left_behind_and_told(
    flux: Flux, repository: ChartServer, spec: dict[str, object], gone: str
) -> None:
    await _released(flux)
    await flux.patch(API, RELEASE, "app", {"spec": spec})
    await flux.delete(API, RELEASE, "app")
    await flux.run(patience=1)
    assert await flux.get(API, RELEASE, "app") is None
    assert await records(flux) == {1: "deployed"}
    assert await flux.get("v1", "ConfigMap", "app") is not None
    where = flux.namespace
    text = f"unable to uninstall Helm release {where}/app.v1: {gone} {where}/gone not found\nConfigMap/{where}/app"
    told = [event for event in await flux.events("app") if event["reason"] == "UninstallFailed"]
    assert [(event["type"], event["message"]) for event in told] == [("Warning", text)]


async def test_a_kubeconfig_that_is_there_and_leads_nowhere_keeps_the_release(
    flux: Flux, repository: ChartServer
) -> None:
    await _released(flux)
    await flux.secret("empty", {"other": "x"})
    await flux.patch(API, RELEASE, "app", {"spec": {"kubeConfig": {"secretRef": {"name": "empty"}}}})
    await flux.delete(API, RELEASE, "app")
    await flux.run(patience=1)
    assert "no key" in message(await the_release(flux))


async def test_a_namespace_takes_its_releases_along(flux: Flux, repository: ChartServer) -> None:
    """No event can be written there any more."""
    await _released(flux)
    await flux.cluster.delete(await flux.cluster.resource("v1", "Namespace"), flux.namespace)
    async with asyncio.timeout(20.0):
        while (found := await flux.get(API, RELEASE, "app")) is not None:
            if "deletionTimestamp" in found["metadata"]:
                await flux.run(patience=1)
            await asyncio.sleep(0.2)
