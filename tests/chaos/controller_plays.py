"""What happens around a controller while it is killed: a job that ends, is lost, is cancelled; strangers.

Each play waits for its own end, whoever is in the machine room by then, and `judge` says what is wrong.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.controller_rig import MACHINE_LIFE_S, Rig

from outlast.protocol.objects import PointerState
from outlast_orchestrator.controller.clock import SystemClock
from outlast_orchestrator.core.types import InstancePhase, JobState, LaunchRequest, Want
from outlast_orchestrator.providers.local.provider import LocalProvider

LAG_S = 8.0
TELL = 'echo "$OUTLAST_GENERATION" >> "$TRACK"'
SHORT = f"{TELL}; sleep 0.3"
UNTIL_GO = f'{TELL}; while [ ! -e "$GO" ]; do sleep 0.1; done'


@dataclass(frozen=True)
class Play:
    name: str
    run: Callable[[Rig], None]
    state: JobState | None  # in the end
    machines: tuple[int, ...]  # how many there may have been, all in all
    starts: tuple[int, ...]  # how often a trainer may have been started
    launch_lag_s: float = LocalProvider.launch_lag_s  # what the cloud is said to need


def starts(rig: Rig) -> list[int]:
    """The generations of all trainers that were started, in order."""
    return [int(word) for word in rig.track.read_text().split()] if rig.track.exists() else []


def judge(rig: Rig, play: Play) -> list[str]:
    """Everything that is wrong in the end."""
    wrong: list[str] = []
    machines, begun = rig.machines(), starts(rig)
    if play.state is not None and rig.state() is not play.state:
        wrong.append(f"the job is {rig.state()}, not {play.state.value}")
    if len(machines) not in play.machines:
        wrong.append(f"{len(machines)} machines were started, not {play.machines}")
    if len(begun) not in play.starts or begun != sorted(set(begun)):
        wrong.append(f"trainers were started for the generations {begun}")
    wrong += [f"{one['id']} is left: {one['state']}" for one in machines if one["state"] != "ended"]
    if play.state is JobState.SUCCEEDED:
        pointer = rig.pointer()
        if pointer is None or pointer.state is not PointerState.ENDED or pointer.generation != begun[-1]:
            wrong.append(f"the pointer says {pointer}")
        ends = [e for e in rig.store.events(None, 0, 1000) if e.data.get("state") == "SUCCEEDED"]
        if len(ends) != 1:
            wrong.append(f"the end was told {len(ends)} times")
    return wrong + _books(rig)


def _books(rig: Rig) -> list[str]:
    """Every machine of a known job has one record, with the times that the cloud charges for."""
    records = {record.id: record for record in rig.store.instances()}
    living = [record for record in rig.store.instances() if record.phase is not InstancePhase.GONE]
    wrong = [f"the record of {record.launch_id} says {record.phase.value}" for record in living]
    jobs = {job.id for job in rig.store.jobs()}
    twins = {launch for launch, n in Counter(m["launch_id"] for m in rig.machines()).items() if n > 1}
    for machine in rig.machines():
        if machine["job"] not in jobs or machine["launch_id"] in twins or machine["started_at"] is None:
            continue
        if machine["id"] not in records:
            wrong.append(f"{machine['id']} ran and is in no book")
            continue
        record = records[machine["id"]]
        if not (
            record.started_at is not None
            and record.started_at <= machine["started_at"]
            and record.ended_at is not None
            and record.ended_at >= machine["ended_at"]
        ):
            booked = f"{record.started_at}..{record.ended_at}"
            wrong.append(
                f"{machine['id']}: booked {booked}, it ran {machine['started_at']}..{machine['ended_at']}"
            )
    return wrong


def _over(rig: Rig, state: JobState) -> None:
    rig.until(f"the job is {state.value}", lambda: rig.state() is state)
    empty(rig)


def empty(rig: Rig) -> None:
    rig.until("no machine is left", lambda: not rig.living())
    rig.until(
        "every record says so",
        lambda: all(record.phase is InstancePhase.GONE for record in rig.store.instances()),
    )


def _ends(rig: Rig) -> None:
    rig.submit(SHORT)
    _over(rig, JobState.SUCCEEDED)


def _lags(rig: Rig) -> None:
    """The listing shows a machine so late that its launch is asked for again."""
    rig.control.lag_listing(LAG_S)
    _ends(rig)
    time.sleep(LAG_S)  # a second machine may still be hidden


def _lost(rig: Rig) -> None:
    """The host of its first machine fails while it trains."""
    rig.submit(UNTIL_GO)
    rig.until("it trains", lambda: starts(rig))
    [machine] = rig.living()
    rig.control.crash(machine["id"])
    rig.until("it trains elsewhere", lambda: len(starts(rig)) > 1)
    rig.go.touch()
    _over(rig, JobState.SUCCEEDED)


def _cancelled(rig: Rig) -> None:
    rig.submit(UNTIL_GO)
    rig.until("it trains", lambda: starts(rig))
    rig.cancel()
    _over(rig, JobState.CANCELLED)


def _cancelled_early(rig: Rig) -> None:
    """Between the intent and the machine."""
    rig.submit(UNTIL_GO)
    rig.until("its launch is intended", lambda: rig.store.instances())
    rig.cancel()
    _over(rig, JobState.CANCELLED)


def _strangers(rig: Rig) -> None:
    """Machines with our tag: of a job that nobody knows, and of one that is over, without a record."""
    rig.submit(SHORT)
    rig.cancel()
    owner = rig.store.owner()  # a launch's token is one of the whole cloud
    launch_by_hand(rig, f"stranger-{owner}", job="nobody-knows")
    launch_by_hand(rig, f"forgotten-{owner}")
    rig.until("both are there", lambda: len(rig.machines()) == 2)
    _over(rig, JobState.CANCELLED)


def _twin(rig: Rig) -> None:
    """A second machine of one launch appears while the job trains on the first."""
    rig.submit(UNTIL_GO)
    rig.until("it trains", lambda: starts(rig))
    [mine] = rig.living()
    launch_by_hand(rig, mine["launch_id"], token=f"{mine['launch_id']}-2")
    rig.until("the twin is there", lambda: len(rig.machines()) == 2)
    rig.until("the twin is ended", lambda: len(rig.living()) == 1)
    assert [one["id"] for one in rig.living()] == [mine["id"]], "the wrong one of two was ended"
    rig.go.touch()
    _over(rig, JobState.SUCCEEDED)


def launch_by_hand(rig: Rig, launch: str, *, job: str = "job-1", token: str = "") -> None:
    """A machine of this owner that no controller asked for."""
    provider = LocalProvider(rig.control.state_dir, SystemClock(), rig.store.owner())
    offer = provider.offers(Want())[0]
    request = LaunchRequest(
        token or f"{launch}-1", launch, rig.store.owner(), job, offer, disk_gb=1, max_life_s=MACHINE_LIFE_S
    )
    provider.launch(request)


ENDS = Play("ends", _ends, JobState.SUCCEEDED, (1,), (1,))
LAGS = Play("lags", _lags, JobState.SUCCEEDED, (1,), (1,), launch_lag_s=LAG_S + 4.0)
LOST = Play("lost", _lost, JobState.SUCCEEDED, (2,), (2,))
CANCELLED = Play("cancelled", _cancelled, JobState.CANCELLED, (1,), (1,))
CANCELLED_EARLY = Play("cancelled early", _cancelled_early, JobState.CANCELLED, (0, 1), (0, 1))
STRANGERS = Play("strangers", _strangers, JobState.CANCELLED, (2,), (0,))
TWIN = Play("twin", _twin, JobState.SUCCEEDED, (2,), (1,))
PLAYS = (ENDS, LOST, CANCELLED, CANCELLED_EARLY, STRANGERS, TWIN, LAGS)
