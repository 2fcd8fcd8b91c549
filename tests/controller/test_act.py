"""The order of side effects: durable first, then calls under the leadership, then what nodes are told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.contracts.rows import attempt, instance, progress
from tests.controller.stage import KEY, Stage, ready, report, seen

from outlast.protocol.messages import Command, CommandKind
from outlast_orchestrator.core.actions import (
    Decision,
    Install,
    Launch,
    Log,
    Rewish,
    Save,
    TakeGeneration,
    Tell,
    Terminate,
    Unblock,
)
from outlast_orchestrator.core.errors import Capacity, Scope, ScopeKind, Transient
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.tokens import hash_token, node_token
from outlast_orchestrator.core.types import Asked, Block, BlockedBy, Instance, InstancePhase, LaunchRequest
from outlast_orchestrator.core.view import Call, CallKind, JobView

RUN = Command(CommandKind.RUN, 1)
CALL = Scope(ScopeKind.CALL, "launch")


@pytest.fixture
def stage() -> Stage:
    return Stage()


def decide_once(stage: Stage, *decisions: Decision) -> None:
    left = list(decisions)
    stage.decisions["j1"] = lambda view: left.pop(0) if left else Decision((), "done")


def test_a_wish_that_is_put_right_is_in_the_store_before_the_rows(stage: Stage) -> None:
    job = stage.submit()
    mended = replace(job, wanted_by="it runs", wanted_number=job.wanted_number + 1)
    tell = Log(Event(Kind.TELL, "after it", "j1"))
    decide_once(stage, Decision((Rewish(mended, "it runs"), tell), "put right"))
    stage.settle()
    assert stage.store.job("j1") == mended
    kinds = stage.kinds("j1")
    assert kinds.index(Kind.JOB_WANTED) < kinds.index(Kind.TELL)


def test_an_intent_is_in_the_store_before_the_cloud_is_called(stage: Stage) -> None:
    stage.submit()
    found: list[Instance] = []
    told: list[Kind] = []

    def look(request: LaunchRequest) -> None:
        found.extend(stage.store.instances())
        told.extend(stage.kinds("j1"))
        assert request == found[0].request

    stage.cloud.on_launch = look
    record = instance()
    intent = Log(Event(Kind.LAUNCH_INTENDED, "cheapest", "j1"))
    decide_once(stage, Decision((Launch(record), intent, Save(record)), "launch"))
    stage.settle()
    assert stage.cloud.launched == ["l1-1"]
    assert [one.launch_id for one in found] == ["l1"]
    assert Kind.LAUNCH_INTENDED in told


def test_what_a_machine_boots_with_is_saved_with_the_intent_and_a_repeat_never_differs(stage: Stage) -> None:
    """The settings, or the version, of the controller may change between a launch and its repeat."""
    stage.submit()
    stage.user_data = "the first version"
    sent: list[LaunchRequest] = []
    stage.cloud.on_launch = sent.append
    record = instance()
    decide_once(stage, Decision((Launch(record), Save(record)), "launch"))
    stage.settle()
    [saved] = stage.store.instances()
    assert saved.request.user_data == "the first version"
    stage.user_data = "the second version"
    decide_once(stage, Decision((Launch(saved), Save(replace(saved, asked=Asked.UNSURE))), "launch again"))
    stage.tick(2)
    assert sent == [saved.request, saved.request]
    assert stage.store.instances()[0].request == saved.request


def test_when_nothing_could_be_saved_nothing_is_done(stage: Stage) -> None:
    """The row refers to a job that is not there: the store refuses the transaction."""
    stage.submit()
    stage.nodes.receive(report())
    stranger = instance(job_id="nobody")
    decide_once(stage, Decision((Save(stranger), Launch(stranger), Tell("l1", (RUN,))), "launch"))
    stage.settle()
    assert stage.cloud.launched == []
    assert stage.nodes.told("l1").commands == ()


def test_a_permission_is_told_only_after_what_it_rests_on_is_durable(stage: Stage) -> None:
    stage.submit(attempt(), ready())
    seen_closed: list[tuple[tuple[int, str], ...]] = []
    stage.nodes.watch("l1", lambda: seen_closed.append(stage.store.progress()[0].closed))
    closed = replace(progress(), closed=((1, "w1"), (2, "w2")))
    decide_once(stage, Decision((Tell("l1", (RUN,)), Save(closed)), "closed"))
    stage.settle()
    assert seen_closed == [closed.closed]


def test_a_deposed_leader_writes_nothing_and_tells_nothing(stage: Stage) -> None:
    stage.submit(ready())
    stage.nodes.receive(report())
    stage.settle()
    stage.store.seize("other", 1000.0)
    actions = (Save(instance("l2")), Launch(instance("l2")), Terminate(ready()), Tell("l1", (RUN,)))
    decide_once(stage, Decision(actions, "act"))
    stage.tick(3)
    assert [one.launch_id for one in stage.store.instances()] == ["l1"]
    assert stage.cloud.launched == stage.cloud.terminated == []
    assert stage.nodes.told("l1").commands == ()
    assert not stage.controller.leading()


def test_a_call_that_waits_in_its_thread_looks_again_whether_we_lead(stage: Stage) -> None:
    record = instance()
    stage.submit(record)
    stage.settle()
    decide_once(stage, Decision((Launch(record), TakeGeneration("j1", 1)), "launch"))
    stage.controller.tick()
    assert Call(CallKind.LAUNCH, "l1-1") in stage.calls.in_flight()
    stage.store.seize("other", 1000.0)  # between the start of the call and its side effect
    stage.calls.work()
    assert stage.cloud.launched == []
    problems = {done.call.kind: done.problem for done in stage.calls.ended}
    assert "is over" in problems[CallKind.LAUNCH]
    assert "is over" in problems[CallKind.GENERATION]


def test_who_lost_the_leadership_takes_back_what_it_told(stage: Stage) -> None:
    stage.submit(attempt(), ready())
    stage.nodes.receive(report())
    decide_once(stage, Decision((Tell("l1", (RUN,)),), "run"))
    stage.settle()
    assert stage.nodes.told("l1").commands == (RUN,)
    stage.store.seize("other", 1000.0)
    stage.tick(10)
    assert stage.nodes.told("l1").commands == ()


def test_refusals_come_back_as_outcomes(stage: Stage) -> None:
    record = instance()
    stage.submit(record)
    views: list[JobView] = []

    def refuse(_request: LaunchRequest) -> None:
        raise Capacity("none left", Scope(ScopeKind.POOL, record.request.offer.pool))

    def decide(view: JobView) -> Decision:
        views.append(view)
        return Decision((Launch(record),), "launch") if len(views) == 1 else Decision((), "seen")

    stage.cloud.on_launch = refuse
    stage.decisions["j1"] = decide
    stage.settle()
    done = [d for view in views for d in view.done if d.call.kind is CallKind.LAUNCH]
    assert len(done) == 1
    assert isinstance(done[0].error, Capacity)


def test_an_unforeseen_error_in_a_call_is_an_unknown_outcome(stage: Stage) -> None:
    record = instance()
    stage.submit(record)
    stage.settle()

    def explode(_request: LaunchRequest) -> None:
        raise ZeroDivisionError("a bug in a provider")

    stage.cloud.on_launch = explode
    decide_once(stage, Decision((Launch(record),), "launch"))
    stage.controller.tick()
    stage.calls.work()
    done = next(d for d in stage.calls.ended if d.call.kind is CallKind.LAUNCH)
    assert done.error is None
    assert "ZeroDivisionError" in done.problem


def test_a_launch_is_tried_once_and_a_termination_again(stage: Stage) -> None:
    record = ready()
    stage.submit(record, instance("l2"))
    stage.cloud.listed = [seen(owner=stage.store.owner())]
    tries: list[str] = []

    def lose(what: object) -> None:
        tries.append(type(what).__name__)
        raise Transient("lost", CALL)

    stage.cloud.on_launch = lose
    stage.cloud.on_terminate = lose
    decide_once(stage, Decision((Launch(instance("l2")), Terminate(record)), "act"))
    stage.settle()
    assert tries == ["LaunchRequest", "Instance", "Instance"]


def test_installing_puts_the_hash_of_the_token_into_the_store_first(stage: Stage) -> None:
    record = instance(phase=InstancePhase.BOOTING, id="i-l1")
    stage.submit(record)
    stored: list[str] = []
    stage.remote.before = lambda _record: stored.append(stage.store.instances()[0].token_hash)
    changed = replace(record, address="10.0.0.1")
    decide_once(
        stage, Decision((Save(changed), Install(changed)), "install"), Decision((Install(changed),), "x")
    )
    stage.settle()
    token = node_token(KEY, "l1")
    assert stored == [hash_token(token)] * 2
    assert [config.token for config in stage.remote.installed] == [token, token], "a repeat brings the same"
    assert stage.store.instances()[0].address == "10.0.0.1"
    config = stage.remote.installed[0]
    assert (config.instance, config.instance_id, config.job) == ("l1", "i-l1", "j1")
    assert (config.cloud, config.region, config.storage) == ("here", "r1", "file:///b")
    assert token not in str(stage.store.instances())


def test_blocks_are_lifted_and_events_are_in_order(stage: Stage) -> None:
    stage.submit(Block("here", BlockedBy.DENIED, None, "rights"))
    actions = (
        Unblock("here"),
        Log(Event(Kind.ATTEMPT_PLANNED, "one", "j1")),
        Log(Event(Kind.LAUNCH_INTENDED, "two", "j1")),
    )
    decide_once(stage, Decision(actions, "go on"))
    stage.settle()
    assert stage.store.blocks() == []
    assert stage.kinds("j1")[1:] == [Kind.ATTEMPT_PLANNED, Kind.LAUNCH_INTENDED]


def test_a_cloud_that_is_not_configured_any_more(stage: Stage) -> None:
    offer = replace(instance().request.offer, cloud="elsewhere")
    record = instance()
    record = replace(record, request=replace(record.request, offer=offer))
    stage.submit(record)
    views: list[JobView] = []

    def decide(view: JobView) -> Decision:
        views.append(view)
        return Decision((Terminate(record),), "end it")

    stage.decisions["j1"] = decide
    stage.settle()
    assert "not configured" in views[-1].instances[0].region_problem
    assert any("not configured" in done.problem for view in views for done in view.done)
