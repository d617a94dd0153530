"""Prometheus reads the running app: with a key, what every worker has counted and what is true in the clusters."""

from __future__ import annotations

import aiohttp
import yaml
from prometheus_client.parser import text_string_to_metric_families

from fluxless.engine.metering import EVERY
from tests.support.flux import Flux, ready
from tests.support.hosted import Hosted, until
from tests.support.repositories import Repo, config_map
from tools.places import ROOT

JOB = yaml.safe_load((ROOT / "infra" / "monitoring" / "prometheus.yaml").read_text())["scrape_configs"][0]
Samples = dict[str, list[tuple[dict[str, str], float]]]


async def _scrape(hosted: Hosted, key: str) -> tuple[int, str, str]:
    url = f"{hosted.env.functions_url}{JOB['metrics_path']}"
    async with (
        aiohttp.ClientSession() as http,
        http.get(url, headers=dict.fromkeys(JOB["http_headers"], key)) as answer,
    ):
        return answer.status, answer.headers.get("Content-Type", ""), await answer.text()


async def test_without_a_key_nothing_is_told(hosted: Hosted) -> None:
    assert (await _scrape(hosted, "guessed"))[0] == 401


async def test_what_was_done_and_what_is_true_can_be_scraped(hosted: Hosted, user: Flux, pushed: Repo) -> None:
    pushed.push({"a.yaml": config_map("a")})
    await user.source(pushed)
    await user.kustomization("app")

    async def is_ready() -> bool:
        return ready(await user.ks("app"))[0] == "True"

    await until(is_ready, "the Kustomization")
    name = pushed.url.rpartition("/")[2].removesuffix(".git")
    assert (await hosted.push(name))[0] == 202
    assert (await hosted.post(b"{}", {}))[0] == 401
    app = {"cluster": "dev", "kind": "Kustomization", "name": "app", "namespace": user.namespace}
    found: Samples = {}

    async def counted() -> bool:
        status, kind, text = await _scrape(hosted, hosted.env.functions_key)
        assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8"), text
        found.clear()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, []).append((sample.labels, sample.value))
        answers = {labels["code"] for labels, _ in found.get(HOOKS, [])}
        return {"202", "401"} <= answers and any(labels == app for labels, _ in found.get(STEPS, []))

    await until(counted, "what was done to be counted", EVERY + 20)
    assert ({**app, "type": "Ready", "status": "True"}, 1.0) in found["gotk_reconcile_condition"]
    (info,) = (labels for labels, _ in found["gotk_resource_info"] if _is(labels, user.namespace, "app"))
    assert info["revision"] == (await user.ks("app"))["status"]["lastAppliedRevision"]
    assert {labels["code"] for labels, _ in found["rest_client_requests_total"]} >= {"200"}
    assert found["fluxless_cluster_up"] == [({"cluster": "dev"}, 1.0)]
    assert found["fluxless_heartbeat_age_seconds"][0][1] < 60
    assert found["process_resident_memory_bytes"][0][1] > 1e7
    assert found["fluxless_loop_lag_seconds_count"][0][1] > 10  # somebody watches, four times a second


STEPS = "gotk_reconcile_duration_seconds_count"
HOOKS = "gotk_receiver_http_request_duration_seconds_count"


def _is(labels: dict[str, str], namespace: str, name: str) -> bool:
    return (labels["exported_namespace"], labels["name"]) == (namespace, name)


async def test_the_app_says_whether_it_reaches_its_clusters(hosted: Hosted) -> None:
    url = f"{hosted.env.functions_url}/api/check?registries=attacker.example,127.0.0.1:5000"
    async with aiohttp.ClientSession() as http:
        async with http.get(url) as refused:
            assert refused.status == 401
        async with http.get(url, headers={"x-functions-key": hosted.env.functions_key}) as answer:
            found = await answer.json()
    assert 0 <= found["heartbeat"] < 60
    (cluster,) = found["clusters"]
    assert (cluster["name"], cluster["ok"], cluster["missing"]) == ("dev", True, "")
    assert cluster["message"].startswith("Kubernetes v")
    assert [(one["name"], one["ok"]) for one in found["registries"]] == [
        ("attacker.example", False),
        ("127.0.0.1:5000", False),
    ]  # no token goes to anybody but Azure's registries
