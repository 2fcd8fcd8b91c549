"""How simulated trainers of one gang train together: no step without all, a save when the first one asks.

Like a real one, a gang notices a lost member only by a connection that breaks, or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from outlast import trainer_contract as contract
from outlast.protocol.messages import FIRST_NODE
from outlast.trainer_contract import SaveRequest
from outlast_orchestrator.simulate.clock import Dice, SimClock
from outlast_orchestrator.simulate.disk import Files

PARTS = "SIMULATED_PARTS"  # in the job's environment: which nodes save
LOOK_S = 4.0
MEET_WITHIN_S = 1200.0  # then who is there gives up, as torch's rendezvous does
BREAKS_WITHIN_S = 90.0
TORN = "torn"  # the state of a checkpoint whose parts do not belong together


class PeerLost(Exception):
    """A trainer of the same gang has gone: its connection broke."""


@dataclass
class Meeting:
    """All trainers of one attempt of a job."""

    arrived: dict[int, int] = field(default_factory=dict)  # rank → the step that it has finished
    agreed: dict[int, SaveRequest | None] = field(default_factory=dict)  # step → what all do after it
    gone: set[int] = field(default_factory=set)
    lost_at: int | None = None  # the step at which one of them lost its state


Meetings = dict[tuple[str, int], Meeting]


class Alone:
    """A trainer on one machine agrees with itself."""

    rank = 0

    def agree(self, step: int, asked: SaveRequest | None) -> SaveRequest | None:
        del step
        return asked

    def left(self) -> None:
        """Nobody waits for it."""

    def spreads(self, lost: bool, step: int) -> bool:
        """Whether its state is lost in this step, as it knows by itself or by the company that it keeps."""
        del step
        return lost

    def files(self, files: Files, step: int, state: str) -> Files:
        del step, state
        return files

    def judge(self, files: Files, step: int, state: str) -> str:
        del files, step
        return state

    def stays(self) -> bool:
        """It ends by itself when it was asked to leave."""
        return False


class Company(Alone):
    def __init__(
        self, clock: SimClock, dice: Dice, meeting: Meeting, env: Mapping[str, str], job: str
    ) -> None:
        self._clock = clock
        self._dice = dice
        self._meeting = meeting
        self._job = job
        self.rank = int(env[contract.NODE_RANK])
        self._size = int(env[contract.NODES])
        self._first_saves = env.get(PARTS) == FIRST_NODE

    def agree(self, step: int, asked: SaveRequest | None) -> SaveRequest | None:
        """Waits until all have finished this step; what the first one was asked is told to all."""
        meeting = self._meeting
        meeting.arrived[self.rank] = step
        self._wait(lambda: len(meeting.arrived) == self._size and min(meeting.arrived.values()) >= step)
        if self.rank == 0:
            meeting.agreed[step] = asked
        self._wait(lambda: step in meeting.agreed)
        return meeting.agreed[step]

    def _wait(self, done: Callable[[], bool]) -> None:
        since_s, breaks_s = self._clock.now_s, -1.0
        while not done():
            self._clock.sleep(LOOK_S)
            if self._meeting.gone and breaks_s < 0.0:
                hangs = self._dice.random() < 0.4
                breaks_s = float("inf") if hangs else self._dice.uniform(0.0, BREAKS_WITHIN_S)
                since_s = self._clock.now_s
            limit_s = breaks_s if breaks_s >= 0.0 else MEET_WITHIN_S
            if self._clock.now_s - since_s > limit_s:
                raise PeerLost

    def left(self) -> None:
        self._meeting.gone.add(self.rank)

    def spreads(self, lost: bool, step: int) -> bool:
        """By the gradients of the next step all have it."""
        meeting = self._meeting
        if lost and meeting.lost_at is None:
            meeting.lost_at = step
        return lost or (meeting.lost_at is not None and meeting.lost_at < step)

    def files(self, files: Files, step: int, state: str) -> Files:
        if self._first_saves:
            return files if self.rank == 0 else {}
        part = json.dumps({"job": self._job, "step": step, "state": state, "rank": self.rank}).encode()
        own = {_part(self.rank): part}
        return {**files, **own} if self.rank == 0 else own

    def judge(self, files: Files, step: int, state: str) -> str:
        if self._first_saves:
            return state
        whole = all(belongs(files.get(_part(rank)), step, state) for rank in range(self._size))
        return state if whole else TORN

    def stays(self) -> bool:
        """The first one leaves; the others may be left waiting for it in their next step."""
        return self.rank > 0 and self._dice.random() < 0.5


def _part(rank: int) -> str:
    return f"part-{rank}.bin"


def belongs(part: bytes | None, step: int, state: str) -> bool:
    """This part is of that very checkpoint."""
    if part is None:
        return False
    value = json.loads(part)
    return (value["step"], value["state"]) == (step, state)


def company_of(
    clock: SimClock, dice: Dice, meetings: Meetings, env: Mapping[str, str], job: str, generation: int
) -> Alone:
    if int(env.get(contract.NODES, "1")) == 1:
        return Alone()
    meeting = meetings.setdefault((job, generation), Meeting())
    return Company(clock, dice, meeting, env, job)
