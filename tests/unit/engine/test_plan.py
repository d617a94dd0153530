"""What is due, what is held, and in which batches it runs."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fluxless.api.kinds import SOURCE_KINDS
from fluxless.engine import plan as plans
from fluxless.engine.plan import HOLD, NEAR, UNSEEN, Plan
from fluxless.engine.schedule import Schedule
from fluxless.reconcile import dependencies
from fluxless.reconcile.outcome import Outcome, State
from fluxless.reconcile.world import Ref, Rules, World
from tests.unit.reconcile.objects import kustomization, release, source, world

T = 1000.0


def namer() -> Callable[[], str]:
    numbers = itertools.count()
    return lambda: f"b{next(numbers)}"


class Clockwork:
    """A schedule with the plans made from it, as the orchestration would drive it."""

    def __init__(self) -> None:
        self.schedule = Schedule()
        self.name = namer()

    def plan(self, found: World, now: float = T, in_flight: set[str] | None = None) -> Plan:
        # through JSON, as between two activities
        self.schedule = Schedule.from_json(self.schedule.to_json())
        return plans.make(found, self.schedule, frozenset(in_flight or ()), now, self.name)

    def started(self, found: World, now: float = T, in_flight: set[str] | None = None) -> list[str]:
        plan = self.plan(found, now, in_flight)
        return sorted(f"{ref.kind[0]}/{ref.name}" for refs in plan.batches.values() for ref in refs)

    def finish(self, plan: Plan, state: State = State.READY, after: float | None = 600.0) -> None:
        for batch, refs in plan.batches.items():
            fine = Outcome(State.READY, 600.0)  # a source waits for nobody
            blocked = state is State.BLOCKED
            outcomes = [fine if blocked and ref.kind == "GitRepository" else Outcome(state, after) for ref in refs]
            self.schedule.settle(batch, outcomes)

    def run(self, found: World, now: float = T, state: State = State.READY, after: float | None = 600.0) -> list[str]:
        plan = self.plan(found, now)
        self.finish(plan, state, after)
        return sorted(f"{ref.kind[0]}/{ref.name}" for refs in plan.batches.values() for ref in refs)


def test_everything_is_due_once_when_the_schedule_is_lost() -> None:
    assert Clockwork().started(world(source(), kustomization("a"))) == ["G/repo", "K/a"]


def test_nothing_is_due_before_the_interval_and_everything_after() -> None:
    clock, found = Clockwork(), world(source(), kustomization("a"))
    clock.run(found)
    assert clock.started(found, T + 599) == []
    assert clock.started(found, T + 600) == ["G/repo", "K/a"]


def test_sources_are_looked_at_when_their_cluster_answers_again() -> None:
    """What was told while it was away is tried again after minutes only."""
    clock, found = Clockwork(), world(source(), kustomization("a"))
    clock.run(found)
    clock.schedule.look_again(SOURCE_KINDS, T + 20)
    assert clock.started(found, T + 20) == ["G/repo"]


def test_a_new_generation_is_due_at_once() -> None:
    clock = Clockwork()
    clock.run(world(source(), kustomization("a")))
    assert clock.started(world(source(), kustomization("a", generation=2, observed=1)), T + 1) == ["K/a"]


def test_a_new_artifact_makes_its_consumers_due_and_nobody_else() -> None:
    clock = Clockwork()
    clock.run(world(source(), source("other"), kustomization("a"), kustomization("b", of="other")))
    after = world(source(revision="main@sha1:2"), source("other"), kustomization("a"), kustomization("b", of="other"))
    assert clock.started(after, T + 1) == ["K/a"]


def test_a_request_is_due_once_and_not_again_while_it_is_unhandled() -> None:
    clock = Clockwork()
    clock.run(world(source(), kustomization("a")))
    asked = world(source(), kustomization("a", requested="1"))
    assert clock.run(asked, T + 1) == ["K/a"]
    assert clock.started(asked, T + 2) == []
    assert clock.started(world(source(), kustomization("a", requested="1", handled="1")), T + 3) == []
    assert clock.started(world(source(), kustomization("a", requested="2", handled="1")), T + 4) == ["K/a"]


def test_a_source_that_is_asked_for_again_and_again_is_spaced() -> None:
    """50 pushes in 10 s cost a handful of fetches; the last of them is answered."""
    clock, started = Clockwork(), []
    calm = world(source(), source("other"), kustomization("a"))
    clock.run(calm)
    for number in range(1, 51):
        now, token = T + 10 + number * 0.2, str(number)
        found = world(source(requested=token), source("other"), kustomization("a", requested=token))
        ran = clock.run(replace(found, rules=Rules(spacing=2.0)), now)
        started += [now] if "G/repo" in ran else []
        assert "K/a" in ran  # an object that is no source is never spaced
    assert started == [T + 10.2, T + 12.2, T + 14.2, T + 16.2, T + 18.2]
    plan = clock.plan(replace(found, rules=Rules(spacing=2.0)), T + 20.1)
    assert plan.wake_up == T + 20.2
    assert clock.started(replace(found, rules=Rules(spacing=2.0)), T + 20.2) == ["G/repo"]


def test_a_changed_or_failed_source_is_not_spaced() -> None:
    clock = Clockwork()
    clock.run(world(source()))
    spaced = Rules(spacing=2.0)
    newer = replace(world(source(generation=2, requested="1")), rules=spaced)
    assert clock.run(newer, T + 0.1, State.RETRY) == ["G/repo"]
    assert clock.started(replace(world(source(generation=2, requested="2")), rules=spaced), T + 0.2) == ["G/repo"]


def test_objects_in_flight_are_not_started_twice_but_lost_ones_are() -> None:
    clock, found = Clockwork(), world(source(), kustomization("a"))
    flying = set(clock.plan(found).batches)
    assert clock.started(found, T + 1, flying) == []
    assert clock.started(found, T + 1) == ["G/repo", "K/a"]


def test_a_change_while_in_flight_is_started_when_the_flight_has_ended() -> None:
    clock = Clockwork()
    plan = clock.plan(world(source(), kustomization("a")))
    newer = world(source(), kustomization("a", generation=2, observed=1))
    assert clock.started(newer, T + 1, set(plan.batches)) == []
    clock.finish(plan)
    assert clock.started(newer, T + 2) == ["K/a"]


def test_suspended_objects_are_left_alone_and_due_at_once_when_resumed() -> None:
    clock = Clockwork()
    asleep = kustomization("a")
    asleep["spec"]["suspend"] = True
    clock.run(world(source(), kustomization("a")))
    assert clock.started(world(source(), asleep), T + 700) == ["G/repo"]
    assert clock.started(world(source(), kustomization("a")), T + 701, {"b2"}) == ["K/a"]


def test_what_has_failed_before_comes_after_what_has_not() -> None:
    """A commit reaches the healthy ones first."""
    clock = Clockwork()
    names = [f"{state}-{number:02}" for state in ("bad", "good") for number in range(30)]
    plan = clock.plan(world(source(), *(kustomization(name) for name in names)), T)
    for batch, refs in plan.batches.items():
        states = [State.RETRY if ref.name.startswith("bad") else State.READY for ref in refs]
        clock.schedule.settle(batch, [Outcome(state, 600.0) for state in states])
    newer = world(source(revision="main@sha1:2"), *(kustomization(name) for name in names))
    batches = [[ref.name.partition("-")[0] for ref in refs] for refs in clock.plan(newer, T + 1).batches.values()]
    assert [set(names) for names in batches] == [{"good"}, {"good"}, {"bad"}, {"bad"}]


@pytest.mark.parametrize("change", [{"generation": 2}, {"requested": "now"}])
def test_what_has_failed_need_not_queue_when_its_user_waits(change: dict[str, Any]) -> None:
    clock = Clockwork()
    clock.finish(clock.plan(world(source(), kustomization("bad"), kustomization("worse"))), State.RETRY)
    bad, newer = kustomization("bad", **change), source(revision="main@sha1:2")
    batches = clock.plan(world(newer, bad, kustomization("worse")), T + 1).batches.values()
    assert [[ref.name for ref in refs] for refs in batches] == [["bad"], ["worse"]]
    assert [clock.schedule.entries[Ref("Kustomization", "apps", name)].state for name in ("bad", "worse")] == ["", "t"]


def test_a_suspension_of_a_ready_object_is_noted_once() -> None:
    """A parent that waits for it, or kubectl, looks at the generation: so do Flux's controllers (CM-8)."""
    clock = Clockwork()
    clock.run(world(source(), kustomization("a")))
    asleep = kustomization("a", generation=2, observed=1)
    asleep["spec"]["suspend"] = True
    assert clock.started(world(source(), asleep), T + 1) == ["K/a"]
    noted = kustomization("a", generation=2)
    noted["spec"]["suspend"] = True
    assert clock.started(world(source(), noted), T + 2, {"b3"}) == []
    asked = kustomization("a", generation=2)
    asked["spec"]["suspend"] = True
    asked["metadata"]["annotations"] = {"reconcile.fluxcd.io/requestedAt": "now"}
    assert clock.started(world(source(), asked), T + 3, {"b4"}) == ["K/a"]


def test_a_deleted_object_is_due_only_while_our_finalizer_is_on_it() -> None:
    gone = kustomization("a", generation=2, observed=1)
    gone["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["somebody.else"]}
    assert Clockwork().started(world(source(), gone)) == ["G/repo"]
    gone["metadata"]["finalizers"].append("finalizers.fluxcd.io")
    gone["spec"]["suspend"] = True
    assert Clockwork().started(world(gone)) == ["K/a"]


def test_a_dependent_starts_in_the_plan_after_its_dependency_became_ready() -> None:
    clock = Clockwork()
    assert clock.run(world(source(), kustomization("a"), kustomization("b", "a", ready=None))) == [
        "G/repo",
        "K/a",
        "K/b",
    ]
    before = world(source(), kustomization("a", ready="Unknown"), kustomization("b", "a", ready=None))
    clock = Clockwork()
    assert clock.run(before) == ["G/repo", "K/a"]
    assert clock.started(world(source(), kustomization("a"), kustomization("b", "a", ready=None)), T + 0.2) == ["K/b"]


def test_a_wait_is_silent_at_first_and_told_once_when_it_lasts() -> None:
    clock = Clockwork()
    waiting = world(source(), kustomization("b", "a", ready=None))
    assert clock.run(waiting) == ["G/repo"]
    assert clock.plan(waiting, T + 0.5).wake_up == T + HOLD
    assert clock.run(waiting, T + HOLD, State.BLOCKED, None) == ["K/b"]
    told = world(source(), kustomization("b", "a", ready="False", message="dependency 'apps/a' not found"))
    assert clock.started(told, T + 60) == []
    other = kustomization("a", ready="False")
    assert clock.started(world(source(), other, told.objects[Ref("Kustomization", "apps", "b")]), T + 61) == ["K/a"]
    assert clock.started(
        world(source(), kustomization("a"), told.objects[Ref("Kustomization", "apps", "b")]), T + 62
    ) == [
        "K/a",
        "K/b",
    ]


def test_a_cycle_runs_at_once_to_say_so_and_then_rests() -> None:
    clock = Clockwork()
    found = world(source(), kustomization("a", "b", ready=None), kustomization("b", "a", ready=None))
    assert clock.run(found, T, State.BLOCKED, None) == ["G/repo", "K/a", "K/b"]
    told = world(
        source(),
        kustomization("a", "b", ready="False", message="dependency cycle: apps/a -> apps/b -> apps/a"),
        kustomization("b", "a", ready="False", message="dependency cycle: apps/b -> apps/a -> apps/b"),
    )
    assert clock.started(told, T + 5) == []


def test_a_failure_is_retried_after_its_delay_and_backs_off_without_one() -> None:
    clock, found = Clockwork(), world(source())
    clock.run(found, T, State.RETRY, None)
    assert clock.started(found, T + 0.7) == []
    assert clock.run(found, T + 0.76, State.RETRY, None) == ["G/repo"]
    assert clock.started(found, T + 0.76 + 1.4) == []
    assert clock.run(found, T + 0.76 + 1.6, State.RETRY, 30.0) == ["G/repo"]
    assert clock.started(found, T + 30) == []
    assert clock.started(found, T + 33) == ["G/repo"]


def test_a_stalled_object_waits_for_a_change() -> None:
    clock = Clockwork()
    clock.run(world(source()), T, State.STALLED, None)
    assert clock.started(world(source()), T + 86400) == []
    assert clock.started(world(source(generation=2)), T + 86401) == ["G/repo"]


def test_sources_run_alone_changes_in_dozens_and_checks_in_hundreds() -> None:
    clock = Clockwork()
    found = world(source(), source("other"), *(kustomization(f"k{i}") for i in range(300)))
    plan = clock.plan(found)
    assert sorted(len(refs) for refs in plan.batches.values()) == [1, 1, *[25] * 12]
    clock.finish(plan)
    again = clock.plan(found, T + 600)
    assert sorted(len(refs) for refs in again.batches.values()) == [1, 1, 50, 250]


def test_many_sources_share_batches_and_those_that_failed_do_not() -> None:
    clock, names = Clockwork(), [f"s{number}" for number in range(100)]
    found = world(*(source(name) for name in names))
    plan = clock.plan(found)
    assert [len(refs) for refs in plan.batches.values()] == [5] * 20
    clock.finish(plan, State.RETRY)
    again = clock.plan(found, T + 86400)
    assert [len(refs) for refs in again.batches.values()] == [1] * 100


def test_releases_have_batches_of_their_own_unless_they_are_only_looked_at() -> None:
    clock = Clockwork()
    found = world(*(release(f"r{number}") for number in range(40)), kustomization("k"), source())
    plan = clock.plan(found)
    assert sorted(len(refs) for refs in plan.batches.values()) == [1, 1, *[2] * 20]
    clock.finish(plan)
    again = clock.plan(found, T + 600)
    assert sorted(len(refs) for refs in again.batches.values()) == [1, 41]
    clock.finish(again)
    asked = world(
        *(release(f"r{number}", requested="t") for number in range(5)), release("f", requested="t", force="t")
    )
    clock.run(world(*(release(f"r{number}") for number in range(5)), release("f")), T + 601)
    assert sorted(len(refs) for refs in clock.plan(asked, T + 602).batches.values()) == [1, 5]


def test_a_batch_that_comes_back_without_outcomes_is_retried_later() -> None:
    clock, found = Clockwork(), world(source())
    for batch in clock.plan(found).batches:
        clock.schedule.settle(batch, [])
    assert clock.started(found, T + 0.1) == []
    assert clock.started(found, T + 1) == ["G/repo"]


def test_only_a_near_next_look_keeps_the_orchestration_waiting() -> None:
    clock, found = Clockwork(), world(source())
    clock.run(found, T, State.WAITING, 5.0)
    assert clock.plan(found, T + 1).wake_up == T + 5
    clock = Clockwork()
    clock.run(found, T, State.READY, NEAR + 60)
    assert clock.plan(found, T + 1).wake_up is None


def test_entries_of_objects_that_are_gone_are_forgotten() -> None:
    clock = Clockwork()
    clock.run(world(source(), kustomization("a")))
    clock.plan(world(source()), T + 1)
    assert [ref.name for ref in clock.schedule.entries] == ["repo"]


def test_what_the_selector_leaves_to_others_is_read_and_not_worked_on() -> None:
    """Each shard starts its own objects only (CM-13)."""
    shard = kustomization("b", "a")
    shard["metadata"]["labels"] = {"sharding.fluxcd.io/key": "shard1"}
    found = world(source(), kustomization("a"), shard)
    rest, one = Clockwork(), Clockwork()
    assert rest.started(replace(found, rules=Rules(selector="!sharding.fluxcd.io/key"))) == ["G/repo", "K/a"]
    assert one.started(replace(found, rules=Rules(selector="sharding.fluxcd.io/key=shard1"))) == ["K/b"]


def test_a_wait_that_the_status_tells_in_words_of_its_own_is_told_once() -> None:
    """A HelmChart without its repository says so in Flux's words; it must not be started again and again for that."""
    chart = release("c") | {"kind": "HelmChart"}
    chart["spec"] = {"sourceRef": {"kind": "HelmRepository", "name": "gone"}}
    chart["status"] = {"conditions": [{"type": "Ready", "status": "False", "message": "failed to get source"}]}
    clock, found = Clockwork(), world(chart)
    clock.started(found)
    assert clock.run(found, T + HOLD, State.BLOCKED, None) == ["H/c"]
    for seconds in range(1, 600):
        assert clock.started(found, T + HOLD + seconds) == []


def test_what_the_plan_sees_no_wait_for_is_looked_at_now_and_then() -> None:
    clock, found = Clockwork(), world(source(), kustomization("a"))
    clock.run(found, T, State.BLOCKED, None)
    assert clock.started(found, T + UNSEEN - 1) == []
    assert clock.started(found, T + UNSEEN) == ["K/a"]


@pytest.mark.parametrize("status", ["Ready", [], 7, {"conditions": "Ready"}, {"conditions": ["Ready"]}, None])
def test_a_dependency_of_any_shape_stops_nobody(status: Any) -> None:
    """An object of a foreign kind may say anything in its status."""
    odd = kustomization("odd") | {"status": status}
    clock, found = Clockwork(), world(source(), odd, kustomization("a", "odd"), kustomization("b"))
    assert "K/b" in clock.started(found)


def test_an_object_that_cannot_be_judged_stops_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    judged = dependencies.waits_for

    def broken(obj: dict[str, Any], found: World) -> Any:
        if obj["metadata"]["name"] == "a":
            raise OverflowError("too large")
        return judged(obj, found)

    monkeypatch.setattr(plans, "waits_for", broken)
    assert Clockwork().started(world(source(), kustomization("a"), kustomization("b"))) == ["G/repo", "K/b"]
    assert "alert=not-planned object=Kustomization/apps/a" in caplog.text
