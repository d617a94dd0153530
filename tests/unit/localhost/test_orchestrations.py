"""What orchestrations may rely on, each against a real host in a process of its own."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator

import pytest

from tests.unit.localhost.hosting import APPS, LocalHost


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHost]:
    folder = tmp_path_factory.mktemp("durable")
    with LocalHost(APPS / "durable", folder, env={"TEST_SEEN": str(folder / "seen")}) as running:
        yield running


@pytest.fixture
def instance() -> str:
    return f"test-{uuid.uuid4().hex[:8]}"


@pytest.mark.parametrize(
    ("orchestrator", "given", "output"),
    [
        pytest.param("sequence", None, 3, id="activities-run-one-after-the-other"),
        pytest.param("fan_out", 12, [number + 10 for number in range(12)], id="fan-out-keeps-the-order"),
        pytest.param("rounds", 0, 4, id="continue-as-new-carries-its-input"),
        pytest.param("parent", None, 6, id="a-sub-orchestration-answers-its-parent"),
        pytest.param("retrying", "3,3", "try 3", id="the-last-retry-may-win"),
        pytest.param("retrying", "5,2", "given up", id="retries-run-out"),
        pytest.param("race", 0.2, "timer", id="a-timer-wins"),
    ],
)
def test_output(host: LocalHost, instance: str, orchestrator: str, given: object, output: object) -> None:
    host.begin(orchestrator, instance, given)
    ended = host.ended(instance)
    assert (ended["runtimeStatus"], ended["output"]) == ("Completed", output)


def test_an_event_wins_and_the_cancelled_timer_holds_up_nothing(host: LocalHost, instance: str) -> None:
    host.begin("race", instance, 30)
    host.custom(instance, "waiting")
    host.event(instance, "go")
    assert host.ended(instance, 3)["output"] == "event 3"


def test_an_event_that_comes_early_is_kept(host: LocalHost, instance: str) -> None:
    host.begin("early", instance)
    host.event(instance, "go", {"a": 1})
    assert host.ended(instance)["output"] == {"a": 1}


def test_a_failed_orchestration_says_why(host: LocalHost, instance: str) -> None:
    host.begin("broken", instance)
    ended = host.ended(instance)
    assert ended["runtimeStatus"] == "Failed"
    assert "broken on purpose" in ended["output"]


def test_an_orchestrator_that_asks_a_die_is_found_out(host: LocalHost, instance: str) -> None:
    host.begin("dice", instance)
    ended = host.ended(instance)
    assert ended["runtimeStatus"] == "Failed"
    assert "on-deterministic" in ended["output"]


def test_terminate_ends_an_instance_with_its_reason(host: LocalHost, instance: str) -> None:
    host.begin("race", instance, 30)
    host.custom(instance, "waiting")
    assert host.durable(f"/instances/{instance}/terminate?reason=enough", method="POST")[0] == 202
    ended = host.ended(instance)
    assert (ended["runtimeStatus"], ended["output"]) == ("Terminated", "enough")
    assert host.durable(f"/instances/{instance}/raiseEvent/go", {}, "POST")[0] == 410


def test_a_suspended_instance_keeps_its_events_until_it_is_resumed(host: LocalHost, instance: str) -> None:
    host.begin("race", instance, 30)
    host.custom(instance, "waiting")
    host.durable(f"/instances/{instance}/suspend", method="POST")
    host.event(instance, "go")
    time.sleep(0.2)
    assert host.look(instance)["runtimeStatus"] == "Suspended"
    host.durable(f"/instances/{instance}/resume", method="POST")
    assert host.ended(instance)["output"] == "event 3"


def test_a_running_id_cannot_be_started_again_and_an_ended_one_can(host: LocalHost, instance: str) -> None:
    host.begin("race", instance, 0.3)
    assert host.durable(f"/orchestrators/race/{instance}", "1", "POST")[0] == 409
    host.ended(instance)
    host.begin("sequence", instance)
    assert host.ended(instance)["output"] == 3


@pytest.mark.parametrize("id_", ["@x", "x" * 101, "a%2Fb", "a%23b", "a%3Fb"])
def test_ids_that_a_backend_would_refuse_are_refused(host: LocalHost, id_: str) -> None:
    assert host.durable(f"/orchestrators/sequence/{id_}", "1", "POST")[0] in (400, 404)


def test_unknown_names_are_told(host: LocalHost) -> None:
    assert host.durable("/orchestrators/nobody", "1", "POST")[0] == 400
    assert host.durable("/instances/nobody")[0] == 404


def test_purge_forgets_an_instance(host: LocalHost, instance: str) -> None:
    host.begin("sequence", instance)
    host.ended(instance)
    assert json.loads(host.durable(f"/instances/{instance}", method="DELETE")[1]) == {"instancesDeleted": 1}
    assert host.durable(f"/instances/{instance}")[0] == 404


def test_one_slow_activity_holds_up_none_of_the_others(host: LocalHost, instance: str) -> None:
    host.begin("loop", instance)
    ended = host.ended(instance, 60)
    assert ended["output"].index(0) >= 20, "two rounds and more of eight at once went by"
    assert sorted(ended["output"]) == list(range(40))
