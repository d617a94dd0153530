"""Releases that fail, are undone and tried again (HR-20, HR-23, HR-64, HR-75)."""

from fluxless.kube.door import Door, opened
from fluxless.render.helm import helm
from tests.support.charts import ChartServer, packed
from tests.support.flux import SOURCE, Flux, message, ready
from tests.support.releases import API, CHART, RELEASE, put_release, records, the_release


async def test_a_failed_install_is_undone_and_tried_again_as_often_as_it_may(
    flux: Flux, repository: ChartServer
) -> None:
    """Once with one retry; then it is Stalled until something changes, and counts from zero (HR-20, HR-64)."""
    await put_release(flux, "named", values={"name": "Not_A_Name"}, install={"remediation": {"retries": 1}})
    await flux.run(patience=5)
    found = await the_release(flux)
    assert ready(found) == ("False", "InstallFailed"), message(found)
    assert message(found, "Stalled").startswith("Failed to install after 2 attempt(s)")
    assert found["status"]["installFailures"] == 2
    events = [event["reason"] for event in await flux.events("app")]
    assert events.count("InstallFailed") >= 1
    assert "UninstallSucceeded" in events
    await put_release(flux, "named", values={"name": "good"})
    await flux.run(patience=5)
    assert ready(await the_release(flux)) == ("True", "UpgradeSucceeded")  # over the failed install, which was left
    assert "installFailures" not in (await the_release(flux))["status"]


async def test_a_failed_upgrade_is_rolled_back(flux: Flux, repository: ChartServer) -> None:
    """The last failure as well, where the spec says so (HR-23, HR-76)."""
    await put_release(flux, "named")
    await flux.run(patience=5)
    await put_release(
        flux,
        "named",
        values={"name": "Not_A_Name"},
        upgrade={"remediation": {"retries": 0, "remediateLastFailure": True}},
    )
    await flux.run(patience=5)
    found = await the_release(flux)
    assert ready(found) == ("False", "RollbackSucceeded"), message(found)
    assert message(found, "Stalled").startswith("Failed to upgrade after 1 attempt(s)")
    assert message(found, "Remediated").startswith("Helm rollback to previous release")
    assert await records(flux) == {1: "superseded", 2: "failed", 3: "deployed"}
    assert await flux.get("v1", "ConfigMap", "good") is not None


async def test_a_release_that_does_not_become_ready_has_failed(flux: Flux, repository: ChartServer) -> None:
    await put_release(flux, "deployed", timeout="4s", values={"bad": True})
    await flux.run(patience=6)
    found = await the_release(flux)
    assert ready(found)[0] == "False"
    assert "Helm install failed" in message(found, "Released")
    assert "timeout waiting for" in message(found, "Released")
    assert list((await records(flux)).values()) == ["failed"]


async def test_a_correction_does_not_wait_for_what_is_broken(flux: Flux, repository: ChartServer) -> None:
    flux.configure(health_inline=0.0)
    await put_release(flux, "deployed", timeout="10m", values={"bad": True})
    await flux.run(patience=0.3)
    assert ready(await the_release(flux))[0] == "Unknown"
    await put_release(flux, "deployed", timeout="10m")
    await flux.run(patience=5)
    assert ready(await the_release(flux)) == ("True", "UpgradeSucceeded"), message(await the_release(flux))


async def test_what_somebody_else_did_with_helm_is_noticed(flux: Flux, repository: ChartServer) -> None:
    """HR-62: a rollback by hand, and a release that was there before the object."""
    await put_release(flux, "web", values={"a": 1})
    await flux.run(patience=5)
    await put_release(flux, "web", values={"a": 2})
    await flux.run(patience=5)
    async with opened(flux.cluster, Door("helm", flux.namespace, flux.namespace)) as door:
        await helm("rollback", ["app", "1"], door, flux.namespace, timeout=30, flags=["--force-conflicts"])
    assert (await flux.get("v1", "ConfigMap", "app"))["data"]["a"] == "1"  # type: ignore[index]
    await flux.request(RELEASE, "app")
    await flux.run(patience=5)
    assert (await flux.get("v1", "ConfigMap", "app"))["data"]["a"] == "2"  # type: ignore[index]
    assert await records(flux) == {1: "superseded", 2: "superseded", 3: "superseded", 4: "deployed"}


async def test_a_release_is_forced_and_counts_from_zero_when_asked(flux: Flux, repository: ChartServer) -> None:
    """HR-65, CM-7: the annotations count with the token of the reconcile request only."""
    await put_release(flux, "named")
    await flux.run(patience=5)
    notes = {"reconcile.fluxcd.io/requestedAt": "t1", "reconcile.fluxcd.io/forceAt": "t0"}
    await flux.patch(API, RELEASE, "app", {"metadata": {"annotations": notes}})
    await flux.run(patience=5)
    assert await records(flux) == {1: "deployed"}
    await flux.patch(API, RELEASE, "app", {"metadata": {"annotations": dict.fromkeys(notes, "t2")}})
    await flux.run(patience=5)
    found = await the_release(flux)
    assert await records(flux) == {1: "superseded", 2: "deployed"}
    assert found["status"]["lastHandledForceAt"] == "t2"
    await flux.request(RELEASE, "app")
    await flux.run(patience=5)
    assert len(await records(flux)) == 2

    await put_release(flux, "named", values={"name": "Not_A_Name"})
    await flux.run(patience=5)
    assert message(await the_release(flux), "Stalled") != "None"
    reset = dict.fromkeys(("reconcile.fluxcd.io/requestedAt", "reconcile.fluxcd.io/resetAt"), "t3")
    await flux.patch(API, RELEASE, "app", {"metadata": {"annotations": reset}})
    await flux.run(patience=5)
    found = await the_release(flux)
    assert found["status"]["lastHandledResetAt"] == "t3"
    assert max(await records(flux)) == 4  # tried once more


TEST = """apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Values.%s }}
  annotations: {"helm.sh/hook": test}
"""


async def test_the_tests_of_a_chart_decide(flux: Flux, charts: ChartServer) -> None:
    """They run once and stand in the history; a failure is remediated unless it is ignored (HR-25, HR-75, HR-23)."""
    values = "one: first\ntwo: second\n"
    files = {"templates/one.yaml": TEST % "one", "templates/two.yaml": TEST % "two", "values.yaml": values}
    charts.add("tested", "1.0.0", packed("tested", "1.0.0", CHART | files))
    await flux.put(SOURCE, "HelmRepository", "repo", {"interval": "10m", "url": charts.url})
    await put_release(flux, "tested", test={"enable": True})
    await flux.run(patience=5)
    found = await the_release(flux)
    assert ready(found) == ("True", "TestSucceeded"), message(found)
    assert message(found).endswith("2 test hooks completed successfully")
    hooks = found["status"]["history"][0]["testHooks"]
    assert {name: hook["phase"] for name, hook in hooks.items()} == {"first": "Succeeded", "second": "Succeeded"}
    before = found["status"]["history"]
    await flux.request(RELEASE, "app")
    await flux.run(patience=5)
    assert (await the_release(flux))["status"]["history"] == before

    bad = {"two": "Not_A_Name"}
    remediation = {"retries": 0, "remediateLastFailure": True}
    await put_release(flux, "tested", test={"enable": True}, values=bad, upgrade={"remediation": remediation})
    await flux.run(patience=5)
    found = await the_release(flux)
    assert message(found, "TestSuccess").startswith("Helm test failed for release"), found["status"]
    assert message(found, "Remediated").startswith("Helm rollback to previous release")
    assert found["status"]["upgradeFailures"] == 1

    await put_release(flux, "tested", test={"enable": True, "ignoreFailures": True}, values={**bad, "a": 1})
    await flux.run(patience=5)
    found = await the_release(flux)
    assert ready(found) == ("True", "UpgradeSucceeded"), message(found)
    assert message(found, "TestSuccess").startswith("Helm test failed")

    chosen = {"enable": True, "filters": [{"name": "first"}]}
    await put_release(flux, "tested", test=chosen, values={**bad, "a": 2})
    await flux.run(patience=5)
    found = await the_release(flux)
    assert ready(found) == ("True", "TestSucceeded"), message(found)
    assert set(found["status"]["history"][0]["testHooks"]) == {"first"}
