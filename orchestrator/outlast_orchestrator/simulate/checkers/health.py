"""A lost state is never resumed from, nor trained on for long; a job that loses it again is not repeated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from outlast.cadence import QUARANTINED_MAX
from outlast.protocol.objects import UNHEALTHY, PointerState
from outlast_orchestrator.core.relaunch import UNHEALTHY_MAX
from outlast_orchestrator.core.types import Attempt, Job
from outlast_orchestrator.simulate.checkers.base import Checker, Move, job_of, manifest_in, path_of
from outlast_orchestrator.simulate.disk import is_bad
from outlast_orchestrator.simulate.history import (
    STORE_RESTORED,
    Fact,
    Fault,
    StoreWrote,
    TrainerEnded,
    TrainerSaved,
    TrainerStarted,
    Wrote,
)
from outlast_orchestrator.simulate.sickness import BAD

TRAINS_ON_S = 600.0  # looks at the folder, the kill, and a drain that may be under way


@dataclass
class _Row:
    """Bad saves of one trainer, with no good one between them."""

    first_s: float
    count: int = 0
    full_s: float = 0.0  # when they were too many


class Health(Checker):
    """`able_since_s`: since when a machine's agent can do its duty.

    An end that arrives when its attempt counts as lost already is nobody's cause to stop: it is not counted.
    """

    name = "a lost state ends its attempt"
    sees = (Wrote, Fault, StoreWrote, TrainerStarted, TrainerSaved, TrainerEnded)

    def __init__(self, able_since_s: Callable[[str], float]) -> None:
        super().__init__()
        self._able_since_s = able_since_s
        self._bad_objects: set[str] = set()
        self._rows: dict[str, _Row] = {}  # by machine
        self._ends: dict[str, tuple[str, int]] = {}  # job → head, and how many have ended so with it
        self._closed: set[tuple[str, int]] = set()  # job, generation
        self.judged = 0  # trainers that had made too many bad saves when they ended

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, Wrote):
            self._wrote(fact)
        elif isinstance(fact, Fault):
            if fact.kind == STORE_RESTORED:
                self._ends.clear()
        elif isinstance(fact, StoreWrote):
            for row in fact.rows:
                if isinstance(row, Job):
                    self._ends.pop(row.id, None)  # a person wants it to be tried again
                elif isinstance(row, Attempt):
                    place = self._closed.discard if row.open else self._closed.add
                    place((row.job, row.generation))
        elif isinstance(fact, TrainerStarted):
            self._rows.pop(fact.machine, None)
            if fact.chain == BAD:
                self.broken(f"{fact.job}: generation {fact.generation} resumed from a lost state")
        elif isinstance(fact, TrainerSaved):
            self._saved(fact)
        elif isinstance(fact, TrainerEnded):
            self._judge(fact.machine, fact.job)
            over = self._rows.pop(fact.machine, None)
            self.judged += over is not None and over.count >= QUARANTINED_MAX

    def _wrote(self, fact: Wrote) -> None:
        path = path_of(fact.key)
        if path.startswith("checkpoints/") and is_bad({path: fact.body}):
            self._bad_objects.add(fact.key)
        elif path.startswith("manifests/"):
            job = job_of(fact.key)
            manifest = manifest_in(fact.body)
            if any(f"jobs/{job}/{entry.key}" in self._bad_objects for entry in manifest.files):
                self.broken(f"{job}: {fact.by} committed {manifest.name}, whose state is lost")

    def _saved(self, save: TrainerSaved) -> None:
        self._judge(save.machine, save.job)
        if not save.bad:
            self._rows.pop(save.machine, None)
            return
        row = self._rows.setdefault(save.machine, _Row(self.now_s))
        row.count += 1
        if row.count == QUARANTINED_MAX:
            row.full_s = self.now_s

    def _judge(self, machine: str, job: str) -> None:
        row = self._rows.get(machine)
        if row is None or row.count < QUARANTINED_MAX or self._able_since_s(machine) > row.first_s:
            return
        lasted_s = self.now_s - row.full_s
        if lasted_s > TRAINS_ON_S:
            self.broken(f"{job}: {machine} trained on for {lasted_s:.0f} s after {row.count} bad saves")

    def moved(self, move: Move) -> None:
        pointer = move.after
        if pointer.state is not PointerState.RELEASED or not pointer.why.startswith(UNHEALTHY):
            return
        if (move.job, pointer.generation) in self._closed:
            return
        head = pointer.head.name if pointer.head is not None else ""
        before, count = self._ends.get(move.job, (head, 0))
        count = count + 1 if before == head else 1
        self._ends[move.job] = head, count
        if count > UNHEALTHY_MAX:
            self.broken(f"{move.job}: {count} attempts have lost their state after {head or 'the beginning'}")

    def finish(self, at_s: float) -> None:
        self.now_s = at_s
        for machine in list(self._rows):
            self._judge(machine, "at the end")
