"""What events of releases carry, for alerts (HR-54)."""

from pathlib import Path

import pytest

from fluxless.oci import media
from tests.support.charts import ChartServer, packed, push_chart
from tests.support.flux import Flux
from tests.support.registry import Images
from tests.support.releases import API, REJECTED, RELEASE, the_release

pytestmark = pytest.mark.cluster
GROUP = "helm.toolkit.fluxcd.io/"


async def _carried(flux: Flux, reason: str) -> dict[str, str]:
    """The annotations of the newest event of this reason, without their group."""
    found = [event for event in await flux.events("app") if event["reason"] == reason][-1]
    notes: dict[str, str] = found["metadata"].get("annotations") or {}
    return {name.removeprefix(GROUP): value for name, value in notes.items()}


async def test_events_name_chart_values_app_and_digest(
    flux: Flux, repository: ChartServer, images: Images, tmp_path: Path
) -> None:
    """Of the release that is there, of the one that failed, and of the one that is gone back to."""
    files = {"templates/x.yaml": REJECTED, "values.yaml": "name: good\n"}
    await push_chart(images, tmp_path, "named", "1.2.3", packed("named", "1.2.3", files, appVersion="v7"))
    below = Images(images.repository.host, f"{images.repository.path}/named")
    await flux.oci(below, ref={"tag": "1.2.3"}, layerSelector={"mediaType": media.HELM_CHART, "operation": "copy"})
    undo = {"remediation": {"retries": 0, "remediateLastFailure": True}}
    spec = {"interval": "10m", "chartRef": {"kind": "OCIRepository", "name": "repo"}, "upgrade": undo}
    await flux.put(API, RELEASE, "app", spec)
    await flux.run(patience=5)
    good = (await the_release(flux))["status"]["history"][0]
    assert await _carried(flux, "InstallSucceeded") == {
        "revision": good["chartVersion"],
        "token": good["configDigest"],
        "app-version": "v7",
        "oci-digest": good["ociDigest"],
    }
    await flux.put(API, RELEASE, "app", spec | {"values": {"name": "Not_A_Name"}})
    await flux.run(patience=5)
    tried = (await the_release(flux))["status"]["lastAttemptedConfigDigest"]
    assert tried != good["configDigest"]
    expected = {"revision": good["chartVersion"], "token": tried, "app-version": "v7", "oci-digest": good["ociDigest"]}
    assert await _carried(flux, "UpgradeFailed") == expected
    assert await _carried(flux, "RollbackSucceeded") == expected
    back = (await the_release(flux))["status"]["history"][0]
    await flux.delete(API, RELEASE, "app")
    await flux.run(patience=5)
    assert await _carried(flux, "UninstallSucceeded") == {
        "revision": back["chartVersion"],
        "token": back["configDigest"],
        "app-version": "v7",
        "oci-digest": back["ociDigest"],
    }
