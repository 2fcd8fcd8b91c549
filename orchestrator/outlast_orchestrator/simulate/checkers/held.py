"""A restart from a checkpoint stops what runs only when that one is held, and then really starts from it."""

from __future__ import annotations

from outlast.protocol.objects import ManifestRef, Pointer, PointerState
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.rules.claimed import NODE_LOST, NOTICE
from outlast_orchestrator.core.types import Attempt, Job, Progress, Wanted
from outlast_orchestrator.simulate.checkers.base import Checker, Move
from outlast_orchestrator.simulate.history import FROM_BACKUP, Fact, StoreWrote

DRAINING = Kind.ATTEMPT_DRAINING


def _cause(events: tuple[Event, ...], row: Attempt) -> str:
    """Why it is drained: a gang that lost a node, or will, is drained for that and not for the restart."""
    found = [e for e in events if (e.kind, e.job, e.attempt) == (DRAINING, row.job, row.generation)]
    return found[0].data.get("cause", "") if found else ""


class Held(Checker):
    name = "held before it is drained"
    sees = (StoreWrote,)

    def __init__(self) -> None:
        super().__init__()
        self._pointers: dict[str, Pointer] = {}
        self._chosen: dict[str, ManifestRef | None] = {}  # job → as the controller knows it
        self._wanted: dict[str, Wanted] = {}
        self._draining: set[tuple[str, int]] = set()
        self._starts: dict[tuple[str, int], ManifestRef | None] = {}

    def saw(self, fact: Fact) -> None:
        if not isinstance(fact, StoreWrote):
            return
        for row in fact.rows:
            if isinstance(row, Progress):
                self._chosen[row.job] = row.pending_start_from
            elif isinstance(row, Job):
                self._wanted[row.id] = row.wanted
        for row in fact.rows:
            if isinstance(row, Attempt):
                self._starts[row.job, row.generation] = row.start_from
                if row.draining_since is not None and (row.job, row.generation) not in self._draining:
                    self._draining.add((row.job, row.generation))
                    if fact.by != FROM_BACKUP and _cause(fact.events, row) not in (NOTICE, NODE_LOST):
                        self._judge(row)

    def _judge(self, row: Attempt) -> None:
        chosen, pointer = self._chosen.get(row.job), self._pointers.get(row.job)
        if chosen is None or pointer is None or self._wanted.get(row.job) is not Wanted.RUN:
            return
        runs = pointer.generation == row.generation and pointer.state is PointerState.RUNNING
        if runs and chosen in pointer.kept and chosen.name not in pointer.pinned:
            self.broken(f"{row.job}: generation {row.generation} is drained, and {chosen.name} is not held")

    def moved(self, move: Move) -> None:
        job, before, after = move.job, move.before, move.after
        self._pointers[job] = after
        start = self._starts.get((job, after.generation))
        fresh = before is None or before.generation != after.generation
        if fresh and start is not None and after.head != start:
            found = after.head.name if after.head else "nothing"
            self.broken(f"{job}: generation {after.generation} was to start from {start.name}, not {found}")
