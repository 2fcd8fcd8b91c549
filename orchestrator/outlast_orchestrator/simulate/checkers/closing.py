"""No close without witnesses: whom the controller closes is really dead, over, or beyond its lease."""

from __future__ import annotations

from collections.abc import Mapping

from outlast.protocol.limits import LEASE_S
from outlast.protocol.objects import Pointer, PointerState
from outlast_orchestrator.core.types import Progress
from outlast_orchestrator.simulate.checkers.base import Checker, Move, machine_of
from outlast_orchestrator.simulate.history import Fact, MachineEnded, StoreWrote


class Closing(Checker):
    name = "no close without witnesses"
    sees = (MachineEnded, StoreWrote)

    def __init__(self, contact_s: Mapping[str, float]) -> None:
        super().__init__()
        self._contact_s = contact_s  # machine → when its last successful write was sent
        self._machines: dict[tuple[str, int, str], str] = {}
        self._pointers: dict[str, Pointer] = {}
        self._dead: set[str] = set()
        self._closed: set[tuple[str, int, str]] = set()
        self._unknown: set[tuple[str, int, str]] = set()  # closed before they had written anything

    def moved(self, move: Move) -> None:
        after = move.after
        self._pointers[move.job] = after
        writer = (move.job, after.generation, after.writer)
        self._machines.setdefault(writer, machine_of(move.by))
        if writer in self._unknown:
            # Its claim comes after all. Whoever comes next may step over it, as if it were dead.
            self._unknown.discard(writer)
            self._closed.discard(writer)
            self._judge(*writer)

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, MachineEnded):
            self._dead.add(fact.machine)
        elif isinstance(fact, StoreWrote):
            for row in fact.rows:
                if isinstance(row, Progress):
                    for generation, writer in row.closed:
                        self._judge(row.job, generation, writer)

    def _judge(self, job: str, generation: int, writer: str) -> None:
        if (job, generation, writer) in self._closed:
            return
        self._closed.add((job, generation, writer))
        machine = self._machines.get((job, generation, writer))
        pointer = self._pointers.get(job)
        if machine is None:
            self._unknown.add((job, generation, writer))
            return
        if machine in self._dead or pointer is None:
            return
        mine = (pointer.generation, pointer.writer) == (generation, writer)
        if not mine or pointer.state is not PointerState.RUNNING:
            return  # it can write nothing any more: released, ended, or superseded
        silent_s = self.now_s - self._contact_s.get(machine, 0.0)
        if silent_s < LEASE_S:
            self.broken(
                f"{job}: generation {generation} was closed while {machine} lived, {silent_s:.0f} s after "
                "its last successful write"
            )
