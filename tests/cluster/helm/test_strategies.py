"""What follows a failure, a chart of another name, and hooks beside manifests (HR-19, HR-24, HR-32, HR-33)."""

import pytest

from tests.support.charts import ChartServer, packed
from tests.support.flux import SOURCE, Flux, message, ready
from tests.support.releases import API, CHART, RELEASE, put_release, records, the_release


async def test_a_failure_is_tried_again_instead_of_undone(flux: Flux, repository: ChartServer) -> None:
    """With RetryOnFailure, after its interval; an upgrade goes over the failed install (HR-19)."""
    strategy = {"name": "RetryOnFailure", "retryInterval": "2s"}
    await put_release(flux, "named", values={"name": "Not_A_Name"}, install={"strategy": strategy})
    await flux.run(patience=1)
    found = await the_release(flux)
    assert ready(found) == ("False", "InstallFailed"), message(found)
    assert "retrying after 2s" in message(found, "Reconciling")
    assert await records(flux) == {1: "failed"}
    await put_release(flux, "named", values={"name": "Not_A_Name"}, upgrade={"strategy": strategy})
    await flux.run(patience=1)
    assert await records(flux) == {1: "failed", 2: "failed"}
    await put_release(flux, "named", values={"name": "good"}, upgrade={"strategy": strategy})
    await flux.run(patience=1)
    found = await the_release(flux)
    assert ready(found) == ("True", "UpgradeSucceeded"), message(found)
    assert "failures" not in found["status"]


async def test_a_chart_of_another_name_may_take_the_place(flux: Flux, repository: ChartServer) -> None:
    """With InPlaceUpdate it is an upgrade, and the old chart's objects go (HR-24)."""
    await put_release(flux, "web")
    await flux.run(patience=5)
    await put_release(flux, "named", upgrade={"chartNameChangeStrategy": "InPlaceUpdate"})
    await flux.run(patience=5)
    found = await the_release(flux)
    assert ready(found) == ("True", "UpgradeSucceeded"), message(found)
    assert await records(flux) == {1: "superseded", 2: "deployed"}
    assert await flux.get("v1", "ConfigMap", "good") is not None
    assert await flux.get("v1", "ConfigMap", "app") is None


HOOK = """apiVersion: v1
kind: ConfigMap
metadata:
  name: hook
  annotations: {"helm.sh/hook": pre-install}
data:
  from: chart
"""


@pytest.mark.parametrize(
    ("strategy", "labelled", "patched"),
    [("combined", True, True), ("separate", True, True), ("nohooks", False, False), (None, True, True)],
)
async def test_hooks_are_rendered_with_the_others_apart_or_not_at_all(
    flux: Flux, charts: ChartServer, strategy: str | None, labelled: bool, patched: bool
) -> None:
    """As `postRenderStrategy` says (HR-32)."""
    charts.add("hooked", "1.0.0", packed("hooked", "1.0.0", CHART | {"templates/hook.yaml": HOOK}))
    await flux.put(SOURCE, "HelmRepository", "repo", {"interval": "10m", "url": charts.url})
    patch = "- op: add\n  path: /data/patched\n  value: 'yes'\n"
    kustomize = {"patches": [{"patch": patch, "target": {"kind": "ConfigMap"}}]}
    spec = {"postRenderStrategy": strategy} if strategy else {}
    await put_release(flux, "hooked", postRenderers=[{"kustomize": kustomize}], **spec)
    await flux.run(patience=5)
    assert ready(await the_release(flux)) == ("True", "InstallSucceeded"), message(await the_release(flux))
    hook, other = await flux.get("v1", "ConfigMap", "hook"), await flux.get("v1", "ConfigMap", "app")
    assert hook is not None
    assert other is not None
    assert other["data"]["patched"] == "yes"
    assert ("patched" in hook["data"]) is patched
    assert ("helm.toolkit.fluxcd.io/name" in (hook["metadata"].get("labels") or {})) is labelled


ODD = """apiVersion: v1
kind: ConfigMap
metadata:
  name: odd
data:
  t: 12:30:45
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: monitors.{{ .Release.Namespace }}.example.com
spec:
  group: {{ .Release.Namespace }}.example.com
  names: {kind: Monitor, plural: monitors, singular: monitor}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          matchType:
            type: string
            enum: [=, "!=", =~, "!~"]
"""


async def test_scalars_arrive_as_go_reads_them(flux: Flux, charts: ChartServer) -> None:
    """HR-30: an operator in an enum, and a time that YAML 1.1 takes for a number of base 60."""
    charts.add("odd", "1.0.0", packed("odd", "1.0.0", {"templates/x.yaml": ODD}))
    await flux.put(SOURCE, "HelmRepository", "repo", {"interval": "10m", "url": charts.url})
    patch = "- {op: add, path: /data/patched, value: 'yes'}\n"
    kustomize = {"patches": [{"patch": patch, "target": {"kind": "ConfigMap"}}]}
    await put_release(flux, "odd", postRenderers=[{"kustomize": kustomize}])
    await flux.run(patience=5)
    assert ready(await the_release(flux)) == ("True", "InstallSucceeded"), message(await the_release(flux))
    found = await flux.get("v1", "ConfigMap", "odd")
    assert found is not None
    assert found["data"] == {"t": "12:30:45", "patched": "yes"}
    resource = await flux.cluster.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    definition = await flux.cluster.get(resource, f"monitors.{flux.namespace}.example.com")
    assert definition is not None
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert schema["properties"]["matchType"]["enum"] == ["=", "!=", "=~", "!~"]
    await flux.delete(API, RELEASE, "app")
    await flux.run(patience=5)


@pytest.mark.parametrize(("strategy", "waits"), [("poller", True), ("legacy", False)])
async def test_helm_3_waited_for_fewer_kinds(flux: Flux, repository: ChartServer, strategy: str, waits: bool) -> None:
    """HR-33: it was no matter to it how a ConfigMap is."""
    never = [{"apiVersion": "v1", "kind": "ConfigMap", "current": "data.a == 'never'"}]
    flux.configure(health_inline=0.0)
    await put_release(flux, "web", waitStrategy={"name": strategy}, healthCheckExprs=never)
    await flux.run(patience=0.3)
    assert (ready(await the_release(flux))[0] == "Unknown") is waits


async def test_a_slow_pace_after_the_last_retry(flux: Flux, repository: ChartServer) -> None:
    """Where the app is set so; Flux stands still."""
    flux.configure(retry_exhausted=2.0)
    await put_release(flux, "named", values={"name": "Not_A_Name"})
    await flux.run(patience=0.5)
    found = await the_release(flux)
    assert message(found, "Stalled").startswith("Failed to install after 1 attempt(s)")
    assert "it is tried again in" in message(found, "Stalled")
    assert await records(flux) == {1: "failed"}
    flux.configure(retry_exhausted=0.0)


async def test_there_may_be_nothing_to_roll_back_to(flux: Flux, repository: ChartServer) -> None:
    """Then the release is Stalled, until other values make an upgrade (HR-76)."""
    await put_release(flux, "named", values={"name": "Not_A_Name"})
    await flux.run(patience=5)
    remediation = {"retries": 1}
    await put_release(flux, "named", values={"name": "Also_Not"}, upgrade={"remediation": remediation})
    await flux.run(patience=5)
    found = await the_release(flux)
    assert message(found, "Stalled").startswith("Failed to perform remediation: missing target release for rollback")
    await put_release(flux, "named", values={"name": "good"})
    await flux.run(patience=5)
    assert ready(await the_release(flux)) == ("True", "UpgradeSucceeded")
