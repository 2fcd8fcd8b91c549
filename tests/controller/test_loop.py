"""The tick as a whole: leadership, isolation of jobs, facts, the sweep, and trouble with the store."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contracts.rows import attempt, instance
from tests.controller.stage import LIMITS, Stage, ready, report, seen

from outlast.protocol.messages import Fact
from outlast_orchestrator.controller.calls import ThreadCalls
from outlast_orchestrator.controller.clock import SystemClock
from outlast_orchestrator.controller.loop import Controller
from outlast_orchestrator.controller.schedule import SWEEP
from outlast_orchestrator.core.actions import Decision
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.types import InstancePhase, JobState, Wanted
from outlast_orchestrator.core.view import Call, CallDone, CallKind, CloudState, JobView


@pytest.fixture
def stage() -> Stage:
    return Stage()


def explode(_view: JobView) -> Decision:
    raise KeyError("a bug")


# jobs stay apart


def test_one_job_that_fails_does_not_stop_the_others(stage: Stage) -> None:
    stage.submit(job_id="j1")
    stage.submit(job_id="j2")
    stage.decisions["j1"] = explode
    stage.settle()
    looked = stage.view("j2").now_s
    stage.tick(5)
    assert stage.view("j2").now_s > looked
    told = [one for one in stage.store.events("j1", 0, 100) if one.kind is Kind.TELL]
    assert len(told) == 1, "told once, not with every tick"
    assert "KeyError" in told[0].why
    assert Kind.TELL not in stage.kinds("j2")


def test_a_job_that_works_again_is_told_anew_when_it_fails_again(stage: Stage) -> None:
    stage.submit()
    stage.decisions["j1"] = explode
    stage.settle()
    del stage.decisions["j1"]
    stage.tick(2)
    stage.decisions["j1"] = explode
    stage.tick(2)
    assert stage.kinds("j1").count(Kind.TELL) == 2


def test_jobs_that_are_over_are_looked_at_only_for_a_reason(stage: Stage) -> None:
    mine = stage.submit()
    done = replace(stage.store.progress()[0], state=JobState.SUCCEEDED, handled_number=0)
    stage.put(done)
    stage.settle()
    assert stage.views == {}
    stage.store.wish(replace(mine, wanted=Wanted.RUN, wanted_number=1), stage.store.events("j1", 0, 1)[0])
    stage.settle()
    assert "j1" in stage.views


def test_the_wait_is_until_the_earliest_wish(stage: Stage) -> None:
    stage.submit(job_id="j1")
    stage.submit(job_id="j2")
    stage.decisions["j1"] = lambda view: Decision((), "later", view.now_s + 100.0)
    stage.decisions["j2"] = lambda view: Decision((), "soon", view.now_s + 0.25)
    stage.settle()
    assert stage.controller.tick() == pytest.approx(0.25)
    assert stage.controller.next_wake_s("j2") == pytest.approx(0.25)
    assert stage.controller.next_wake_s("nobody") is None


# leadership


def test_a_standby_does_nothing_until_the_leader_is_quiet(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'outlast.db'}"
    leader = Stage(url)
    leader.submit()
    leader.settle()
    standby = Stage(url, holder="other", clock=leader.clock)
    standby.tick(10)
    leader.tick(10)
    assert not standby.controller.leading()
    assert standby.views == {}
    standby.tick(20)
    assert standby.controller.leading()
    assert standby.views
    leader.views.clear()
    leader.tick(2)
    assert not leader.controller.leading()
    assert leader.views == {}


def test_a_store_that_fails_stops_everything_and_mends(stage: Stage) -> None:
    stage.submit()
    stage.settle()
    stage.views.clear()
    with stage.store.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE progress RENAME TO hidden")
    stage.tick(3)
    assert stage.views == {}
    with stage.store.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE hidden RENAME TO progress")
    stage.tick(3)
    assert stage.views


# facts


def test_facts_become_events_once_also_over_a_restart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'outlast.db'}"
    stage = Stage(url)
    stage.submit(attempt(), ready())
    stage.cloud.listed = [seen(owner=stage.store.owner())]
    facts = (Fact(1, 30.0, "save.found", "step 7", {"step": "7"}), Fact(2, 1.0, "no.such.kind", "what?"))
    stage.nodes.receive(report(facts=facts))
    stage.settle()
    assert stage.nodes.receive(report(seq=2, facts=facts)).facts_until == 2
    stage.tick(3)
    said = [event for event in stage.store.events("j1", 0, 100) if event.node is not None]
    assert [event.kind for event in said] == [Kind.SAVE_FOUND, Kind.TELL]
    assert said[0].data == {"step": "7", "launch": "l1"}
    assert said[0].attempt == 1
    assert said[1].why == "no.such.kind: what?"
    assert stage.clock.wall - 40.0 < said[0].at < stage.clock.wall - 29.0

    again = Stage(url, clock=stage.clock)  # the same holder: as if started anew on this store
    more = (*facts, Fact(3, 0.0, "trainer.started", "again"))
    again.nodes.receive(report(seq=3, facts=more))
    again.settle()
    kinds = [event.kind for event in again.store.events("j1", 0, 100) if event.node is not None]
    assert kinds == [Kind.SAVE_FOUND, Kind.TELL, Kind.TRAINER_STARTED]
    assert again.nodes.receive(report(seq=4)).facts_until == 3
    again.nodes.receive(report(boot="b2", facts=(Fact(1, 0.0, "agent.started", "new boot"),)))
    again.tick()
    assert again.kinds("j1")[-1] is Kind.AGENT_STARTED


# clouds


def test_trouble_with_a_cloud_is_told_once_and_its_end_too(stage: Stage) -> None:
    stage.submit()
    stage.settle()
    stage.cloud.problem = "503"
    stage.tick(60)
    stage.cloud.problem = ""
    stage.tick(30)
    kinds = [kind for kind in stage.kinds("") if kind.value.startswith("cloud.")]
    assert kinds == [Kind.CLOUD_TROUBLE, Kind.CLOUD_MENDED]


def test_a_machine_of_a_known_job_that_no_record_names_is_adopted(stage: Stage) -> None:
    """The store came from a backup: the job's own decision then drains or ends the machine."""
    stage.submit()
    stage.cloud.listed = [seen("lost", owner=stage.store.owner())]
    stage.settle()
    record = stage.store.instances()[0]
    assert (record.launch_id, record.id, record.phase) == ("lost", "i-lost", InstancePhase.BOOTING)
    assert stage.view().instances[0].record == record
    assert stage.kinds("j1").count(Kind.INSTANCE_ADOPTED) == 1
    assert stage.cloud.terminated == []


def test_a_machine_whose_record_says_gone_is_ended(stage: Stage) -> None:
    stage.submit(instance(phase=InstancePhase.GONE, id="i-l1"))
    stage.cloud.listed = [seen(owner=stage.store.owner())]
    stage.settle()
    assert stage.store.instances()[0].phase is InstancePhase.TERMINATING


def test_machines_of_others_and_ended_ones_are_left_alone(stage: Stage) -> None:
    stage.submit(ready("l2"))
    owner = stage.store.owner()
    stage.cloud.listed = [
        seen("foreign", owner="somebody else"),
        seen("over", owner=owner, state=CloudState.ENDED),
        seen("l2", owner=owner),
    ]
    stage.settle()
    assert [record.launch_id for record in stage.store.instances()] == ["l2"]
    assert Kind.ORPHAN_FOUND not in stage.kinds()


def test_a_machine_of_an_unknown_job_is_ended_after_its_time_of_grace(stage: Stage) -> None:
    stage.submit()
    stage.cloud.listed = [seen("lost", job="who", owner=stage.store.owner())]
    stage.settle()
    stage.tick(int(LIMITS.orphan_grace_s) - 30)
    assert stage.cloud.terminated == []
    assert stage.kinds("").count(Kind.ORPHAN_FOUND) == 1
    stage.tick(60)
    assert set(stage.cloud.terminated) == {"i-lost"}


def test_nothing_unknown_is_ended_before_every_pointer_was_read(stage: Stage) -> None:
    stage.submit()
    stage.buckets.down = True
    stage.cloud.listed = [seen("lost", job="who", owner=stage.store.owner())]
    stage.settle()
    stage.tick(int(LIMITS.orphan_grace_s) + 60)
    assert stage.cloud.terminated == []
    stage.buckets.down = False
    stage.tick(60)
    assert set(stage.cloud.terminated) == {"i-lost"}


def test_a_launch_between_listing_and_store_is_no_orphan(stage: Stage) -> None:
    """Listed first, the store read after: the intent is there although the listing is older."""
    stage.submit()
    stage.settle()
    stage.due.mark(SWEEP)
    stage.controller.tick()
    stage.cloud.listed = [seen("new", owner=stage.store.owner())]
    stage.calls.work()
    record = replace(instance("new"), intended_at=stage.clock.wall)
    stage.put(record)
    stage.tick(2)
    assert stage.store.instances() == [record]
    assert Kind.INSTANCE_ADOPTED not in stage.kinds()


# the real threads


def test_calls_stay_in_flight_until_they_are_collected() -> None:
    woken, go = threading.Event(), threading.Event()
    calls = ThreadCalls(SystemClock(), woken.set, threads=2)
    call, broken = Call(CallKind.LIST, "here/r1"), Call(CallKind.LIST, "here/r2")

    def run() -> CallDone:
        assert go.wait(30)
        return CallDone(call)

    def fail() -> CallDone:
        raise ZeroDivisionError("a bug")

    assert calls.start(call, run)
    assert not calls.start(call, run)
    go.set()
    assert woken.wait(30)
    assert calls.in_flight() == {call}
    assert not calls.start(call, run), "not again before its outcome was seen"
    assert calls.collect() == [CallDone(call)]
    assert calls.in_flight() == frozenset()
    woken.clear()
    assert calls.start(broken, fail)
    assert woken.wait(30)
    assert "ZeroDivisionError" in calls.collect()[0].problem
    calls.close()


def test_the_loop_runs_and_gives_the_leadership_up_when_it_is_stopped(tmp_path: Path) -> None:
    stage = Stage(f"sqlite:///{tmp_path / 'outlast.db'}")
    stage.submit()
    clock, alarm = SystemClock(), threading.Event()
    decided = threading.Event()
    calls = ThreadCalls(clock, alarm.set)

    def decide(view: JobView, _policy: object) -> Decision:
        decided.set()
        return Decision((), "looked")

    parts = replace(stage.parts, clock=clock, calls=calls, decide=decide, sleep=clock.sleep)
    controller = Controller(parts, alarm)
    thread = threading.Thread(target=controller.run)
    thread.start()
    assert decided.wait(30)
    controller.stop()
    thread.join(30)
    assert not thread.is_alive()
    assert stage.store.lead("next", 1000.0) is not None, "nobody has to wait"
    calls.close()
