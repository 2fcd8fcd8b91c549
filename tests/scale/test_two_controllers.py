"""Two controllers on one PostgreSQL: one acts; who is suspended in the middle of it does nothing twice."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from tests.scale.two import One, Two, two_controllers
from tests.servers.postgres import postgres

pytestmark = pytest.mark.slow

STARTING = [
    "take_generation:before",
    "take_generation:after",
    "launch.intended:before",
    "transaction:inside",
    "launch.intended:after",
    "launch:before",  # after its last look whether it leads
    "launch:after",
    "install:before",
    "install:after",
]
ENDING = ["instance.terminating:before", "instance.terminating:after", "terminate:before", "terminate:after"]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    with postgres() as server, two_controllers(tmp_path_factory.mktemp("two"), server) as found:
        yield found


def _freeze_and_replace(two: Two, leader: One) -> One:
    """The leader stands still where it was armed for; returns who leads then."""
    two.wait(f"{leader.name} stands still", leader.is_stopped)
    other = two.other(leader)
    two.wait(f"{other.name} leads", other.leads)
    return other


def _wake(two: Two, sleeper: One, new: One) -> None:
    """It learns that it leads no more, and has written nothing since."""
    before = len(sleeper.commits())
    sleeper.wake()
    two.wait(f"{sleeper.name} has learned it", lambda: not sleeper.leads() and bool(sleeper.get("/v1/jobs")))
    two.wait(f"{sleeper.name} ticks", lambda: "leads no more" in sleeper.told())
    assert new.leads()
    later = sleeper.commits()[before:]
    assert all(commit["outcome"] != "written" for commit in later), later


@pytest.mark.parametrize("point", STARTING)
def test_a_leader_suspended_while_it_starts_a_job(two: Two, point: str) -> None:
    leader = two.leader()
    leader.arm(point)
    job = two.submit(by=two.other(leader))
    new = _freeze_and_replace(two, leader)
    two.wait("the job runs", lambda: two.state(job, new) == "RUNNING")
    _wake(two, leader, new)
    two.wait("it still runs", lambda: two.state(job, leader) == "RUNNING")
    kinds = two.kinds(job, leader)
    assert len(two.machines(job)) == 1
    for kind in ("launch.intended", "attempt.claimed", "instance.ready"):
        assert kinds.count(kind) == 1, kind
    new.post(f"/v1/jobs/{job}/cancel", by="a test")
    two.wait("it is over", lambda: two.state(job, new) == "CANCELLED")


@pytest.mark.parametrize("point", ENDING)
def test_a_leader_suspended_while_it_ends_a_machine(two: Two, point: str) -> None:
    leader = two.leader()
    job = two.submit(by=leader)
    two.wait("the job runs", lambda: two.state(job, leader) == "RUNNING")
    leader.arm(point)
    two.other(leader).post(f"/v1/jobs/{job}/cancel", by="a test")
    new = _freeze_and_replace(two, leader)
    two.wait("its machine has ended", lambda: "instance.gone" in two.kinds(job, new))
    _wake(two, leader, new)
    kinds = two.kinds(job, leader)
    assert [kinds.count(kind) for kind in ("instance.terminating", "instance.gone")] == [1, 1]
    assert [machine["state"] for machine in two.machines(job)] == ["ended"]


def test_a_killed_leader_is_replaced_and_its_job_goes_on(two: Two) -> None:
    leader = two.leader()
    job = two.submit(by=leader)
    two.wait("the job runs", lambda: two.state(job, leader) == "RUNNING")
    leader.end(signal.SIGKILL)
    new = two.other(leader)
    two.wait("the other leads", new.leads)
    events = new.get("/v1/events?last=1000")["events"]
    terms = [event for event in events if event["kind"] == "controller.leads"]
    assert len({event["why"] for event in terms}) == len(terms), "no term is led twice"
    leader.start()
    two.wait("it is back", lambda: bool(leader.url()) and leader.get("/v1/jobs") is not None)
    assert not leader.leads()
    new.post(f"/v1/jobs/{job}/pause", by="a test")
    two.wait("the new leader is obeyed", lambda: two.state(job, leader) == "PAUSED")
    assert len(two.machines(job)) == 1


def test_of_two_that_live_for_long_one_acts(two: Two) -> None:
    """Many turns of the leadership's time to live; the other one answers, and writes only people's wishes."""
    leader = two.leader()
    standby = two.other(leader)
    before = len(standby.commits())
    for _ in range(4):
        job = two.submit(by=standby)
        two.wait("the job runs", lambda job=job: two.state(job, standby) == "RUNNING")  # type: ignore[misc]
        standby.post(f"/v1/jobs/{job}/cancel", by="a test")
        two.wait("it is over", lambda job=job: two.state(job, standby) == "CANCELLED")  # type: ignore[misc]
        assert len(two.machines(job)) == 1
        assert leader.leads()
        assert not standby.leads()
    assert len(standby.commits()) == before
