"""Half a gang is not paid without end: it is complete in time, or its machines are ended."""

from __future__ import annotations

from outlast_orchestrator.core.types import Attempt
from outlast_orchestrator.simulate.checkers.base import Checker
from outlast_orchestrator.simulate.history import (
    STORE_RESTORED,
    Fact,
    Fault,
    Launched,
    MachineEnded,
    ProcessDied,
    StoreWrote,
)

LIMIT_S = 900.0 + 1500.0  # the controller's own limit, and what it may take to see and to end them
COMPLETE = 2


class HalfGang(Checker):
    name = "half a gang is not paid without end"
    sees = (Fault, ProcessDied, Launched, MachineEnded, StoreWrote)

    def __init__(self) -> None:
        super().__init__()
        self._attempts: dict[str, Attempt] = {}  # job → its newest one
        self._alive: dict[str, str] = {}  # launch id → machine
        self._launches: dict[str, str] = {}
        self._since_s: dict[tuple[str, int], float] = {}
        self._excused_until_s = 0.0

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, Fault):
            # Whatever is wrong with controller, cloud or bucket: who can't act can't end a machine either.
            self._excused_until_s = max(self._excused_until_s, fact.until_s, self.now_s)
            if fact.kind == STORE_RESTORED:
                self._attempts.clear()
        elif isinstance(fact, ProcessDied):
            self._excused_until_s = max(self._excused_until_s, self.now_s)
        elif isinstance(fact, Launched):
            self._alive[fact.request.launch_id] = fact.machine
            self._launches[fact.machine] = fact.request.launch_id
        elif isinstance(fact, MachineEnded):
            self._alive.pop(self._launches[fact.machine], None)
        elif isinstance(fact, StoreWrote):
            for row in fact.rows:
                if isinstance(row, Attempt) and len(row.launches) >= COMPLETE:
                    self._attempts[row.job] = row
        for job, attempt in self._attempts.items():
            self._judge(job, attempt)

    def _judge(self, job: str, attempt: Attempt) -> None:
        key = (job, attempt.generation)
        living = [launch for launch in attempt.launches if launch in self._alive]
        half = 0 < len(living) < len(attempt.launches)
        if not attempt.open or attempt.claimed or not half:
            self._since_s.pop(key, None)
            return
        since_s = max(self._since_s.setdefault(key, self.now_s), self._excused_until_s)
        if self.now_s - since_s > LIMIT_S:
            self.broken(
                f"{job}: {len(living)} of {len(attempt.launches)} machines of generation "
                f"{attempt.generation} wait for the others since {self.now_s - since_s:.0f} s"
            )
            self._since_s[key] = self.now_s
