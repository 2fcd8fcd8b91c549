"""What only looks like a death, for as long as it takes: the real controller and agents in simulated hours.

A directed world: no chance faults, a few jobs, one false alarm. Nobody may be replaced, ended or started
anew for it, and no checker of the simulation may be broken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.sim.quiet import quiet

from outlast.protocol.messages import CheckpointPlan, Work
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.types import Job, JobState, RetryPlan, Want
from outlast_orchestrator.simulate.cloud import REGIONS
from outlast_orchestrator.simulate.history import (
    FROM_BACKUP,
    STORE_RESTORED,
    Fact,
    Launched,
    StoreWrote,
    TerminateAsked,
    TrainerEnded,
    TrainerStarted,
)
from outlast_orchestrator.simulate.network import BUCKET, CONTROLLER
from outlast_orchestrator.simulate.plan import Plan
from outlast_orchestrator.simulate.runtime import WALL_START_S
from outlast_orchestrator.simulate.trainer import OUTPUT, Profile
from outlast_orchestrator.simulate.world import HOUR_S, World

NAMES = ("one", "two", "three")
STEP_S = 120.0
ALARM_AT_S = HOUR_S
DAY_S = 24 * HOUR_S
Alarm = Callable[[World], None]


class Watch:
    """What was started and ended, and when."""

    def __init__(self) -> None:
        self.launched: list[float] = []
        self.started: list[float] = []
        self.terminated: list[tuple[float, str]] = []
        self.killed: list[float] = []
        self.over_s: dict[str, float] = {}

    def see(self, at_s: float, fact: Fact) -> None:
        if isinstance(fact, Launched):
            self.launched.append(at_s)
        elif isinstance(fact, TrainerStarted):
            self.started.append(at_s)
        elif isinstance(fact, TerminateAsked):
            self.terminated.append((at_s, fact.machine))
        elif isinstance(fact, TrainerEnded) and not fact.done:
            self.killed.append(at_s)
        elif isinstance(fact, TrainerEnded):
            self.over_s[fact.machine] = at_s

    def nothing_since(self, since_s: float) -> None:
        """No launch, no start, no trainer killed, and only machines whose work was done are ended."""
        for times in (self.launched, self.started, self.killed):
            assert [at_s for at_s in times if at_s >= since_s] == []
        ended = [(at_s, machine) for at_s, machine in self.terminated if at_s >= since_s]
        assert [one for one in ended if one[0] < self.over_s.get(one[1], float("inf"))] == []


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet():
        yield


def _job(world: World, name: str, hours: float) -> Job:
    profile = Profile(job=name, steps=int(hours * HOUR_S / STEP_S), step_s=STEP_S, save_every=10, size=1000)
    work = Work(
        name=name,
        owner=world.store.owner(),
        revision=1,
        run=profile.command(),
        outputs=(OUTPUT,),
        checkpoint=CheckpointPlan(),
    )
    return Job(
        name, name, world.store.owner(), WALL_START_S, 1, Want(), work, RetryPlan(), storage="sim://bucket"
    )


def _world(seed: int, watch: Watch, hours: float) -> World:
    """People and chance do nothing in it."""
    plan = Plan(jobs=0, fewest_jobs=0, faults=0, standby=0.0, hours=hours + 2.0, busy_hours=0.0)
    world = World(seed, plan, witnesses=(watch,))
    for name in NAMES:
        _submit(world, name, hours)
    return world


def _submit(world: World, name: str, hours: float) -> None:
    world.store.submit(_job(world, name, hours), Event(Kind.JOB_SUBMITTED, "submitted", name))


def _ends_well(world: World) -> None:
    broken = world.run()
    assert not broken, "\n".join(str(one) for one in broken)
    assert {row.job: row.state for row in world.store.progress()} == dict.fromkeys(NAMES, JobState.SUCCEEDED)


def _all_machines(world: World) -> list[str]:
    return [host.machine.id for host in world.hosts.values() if host.machine.alive]


# the alarms


def _cut(world: World, seconds: float, *places: str) -> None:
    for machine in _all_machines(world):
        for place in places:
            world.network.cut(machine, place, seconds)


def _frozen(world: World, seconds: float) -> None:
    for host in world.hosts.values():
        host.pause()
        world.clock.after(seconds, host.resume)


def _cloud_down(world: World, seconds: float) -> None:
    """Every call is answered with an error."""
    world.api.trouble.throttled_share = 1.0
    world.api.trouble.throttled_until_s = world.clock.now_s + seconds
    for region in REGIONS:
        world.api.trouble.region_down_until_s[region] = world.clock.now_s + seconds


def _controller_away(world: World, seconds: float) -> None:
    process = world.room.process
    assert process is not None
    process.kill("away")
    world.clock.after(seconds, world.room.start_again)


def _cut_under_a_cloud_that_is_down(world: World) -> None:
    """The second witness is away just when it would be asked."""
    _cloud_down(world, 300.0)
    _cut(world, 300.0, CONTROLLER, BUCKET)


def _back_in_a_storm(world: World) -> None:
    """The controller was away for an hour, and finds neither cloud nor nodes when it comes back."""
    _controller_away(world, HOUR_S)

    def storm() -> None:
        _cloud_down(world, 300.0)
        _cut(world, 300.0, CONTROLLER)

    world.clock.after(HOUR_S, storm)


# One after the other, an hour apart.
ALARMS: dict[str, Alarm] = {
    "60 s without network": lambda world: _cut(world, 60.0, CONTROLLER),
    "60 s cut from everything": lambda world: _cut(world, 60.0, CONTROLLER, BUCKET),
    "8 min cut from everything": lambda world: _cut(world, 480.0, CONTROLLER, BUCKET),
    "5 min of 503": lambda world: _cloud_down(world, 300.0),
    "5 min of 503 and cut from everything": _cut_under_a_cloud_that_is_down,
    "frozen for 30 s": lambda world: _frozen(world, 30.0),
    "frozen for 8 min": lambda world: _frozen(world, 480.0),
    "controller away for an hour, and back in a storm": _back_in_a_storm,
}


@pytest.mark.parametrize("seed", [1, 2])
def test_no_false_alarm_costs_a_machine_a_start_or_a_step(seed: int) -> None:
    watch = Watch()
    world = _world(seed, watch, len(ALARMS) + 2.0)
    rung: list[str] = []
    for number, (name, alarm) in enumerate(ALARMS.items()):
        world.clock.at(ALARM_AT_S + number * HOUR_S, _ringer(world, name, alarm, rung))
    _ends_well(world)
    assert rung == list(ALARMS)
    watch.nothing_since(ALARM_AT_S)
    assert len(watch.launched) == len(NAMES)
    assert any("is not heard from" in why for why in _whys(world)), "the alarms were not even heard"


def _ringer(world: World, name: str, alarm: Alarm, rung: list[str]) -> Callable[[], None]:
    def ring() -> None:
        assert len(_all_machines(world)) == len(NAMES), f"before: {name}"
        rung.append(name)
        alarm(world)

    return ring


def _whys(world: World) -> list[str]:
    return [event.why for event in world.store.events(None, 0, 100_000) if event.kind is Kind.JOB_STATE]


def test_a_cut_beyond_the_lease_is_no_false_alarm() -> None:
    """What the test above would see: the same world, the same cut, only too long."""
    watch = Watch()
    world = _world(1, watch, 2.0)
    world.clock.at(ALARM_AT_S, lambda: _cut(world, 1000.0, CONTROLLER, BUCKET))
    _ends_well(world)
    assert len(watch.launched) > len(NAMES)
    assert watch.killed


def test_a_store_of_yesterday_costs_no_job_its_machine() -> None:
    """Since then every job has moved twice, and one was submitted that the store has never heard of. When
    the controller is back, the cloud lists nothing for a while: pointers are known before machines."""
    watch = Watch()
    world = _world(2, watch, 27.0)
    world.clock.at(ALARM_AT_S, lambda: _yesterday(world, cloud_down_s=300.0))
    for hours in (5.0, 15.0):
        world.clock.at(hours * HOUR_S, lambda: _take_all(world))
    world.clock.at(20 * HOUR_S, lambda: _submit(world, "late", 6.5))
    _ends_well(world)
    assert len(watch.launched) == 3 * len(NAMES) + 1
    watch.nothing_since(ALARM_AT_S + DAY_S)
    told = [event for event in world.store.events(None, 0, 100_000) if event.kind is Kind.JOB_UNKNOWN]
    assert {event.data["job"] for event in told} == {"late"}
    adopted = [event for event in world.store.events(None, 0, 100_000) if event.kind is Kind.ATTEMPT_ADOPTED]
    assert sorted(event.job for event in adopted) == sorted(NAMES)


def _yesterday(world: World, cloud_down_s: float) -> None:
    """What is saved now is the store again in a day."""
    backup = world.store.backup()

    def restore() -> None:
        process = world.room.process
        assert process is not None
        process.kill("its store is lost")
        rows = world.store.restore(backup)
        world.stage.told(STORE_RESTORED, "as it was a day ago")
        world.history.record(world.clock.now_s, StoreWrote(FROM_BACKUP, rows, ()))
        _cloud_down(world, cloud_down_s)
        world.clock.after(60.0, world.room.start_again)

    world.clock.after(DAY_S, restore)


def _take_all(world: World) -> None:
    for host in world.hosts.values():
        if host.machine.alive:
            world.cloud.interrupt(host.machine, lead_s=0.0, noticed=False)
