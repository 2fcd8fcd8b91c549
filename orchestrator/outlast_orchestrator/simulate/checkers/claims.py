"""No claim over an attempt that neither released, nor was closed, nor ended and was given free to it."""

from __future__ import annotations

from outlast.protocol.objects import PointerState
from outlast_orchestrator.core.types import Attempt, Job, Progress
from outlast_orchestrator.simulate.checkers.base import Checker, Move
from outlast_orchestrator.simulate.history import Fact, StoreWrote


class Claims(Checker):
    name = "no claim over a living attempt"
    sees = (StoreWrote,)

    def __init__(self) -> None:
        super().__init__()
        self._closed: set[tuple[str, int, str]] = set()
        self._wishes: dict[str, float] = {}  # job → when a person last changed what is wanted
        self._ended_s: dict[str, float] = {}
        self._restarts: dict[str, int] = {}  # job → asked for
        self._restarts_done: dict[str, int] = {}  # job → carried out
        self._restarts_at_end: dict[str, int] = {}  # job → carried out when it ended
        self._free: set[tuple[str, int, str]] = set()  # (job, generation, writer that it may continue)

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, StoreWrote):
            for row in fact.rows:
                if isinstance(row, Progress):
                    self._closed.update((row.job, generation, writer) for generation, writer in row.closed)
                    self._restarts_done[row.job] = row.restart_done
                elif isinstance(row, Attempt):
                    self._free.add((row.job, row.generation, row.permission_over_ended))
                elif isinstance(row, Job):
                    self._wishes[row.id] = self.now_s
                    self._restarts[row.id] = row.restart.number

    def moved(self, move: Move) -> None:
        job, by, before, after = move.job, move.by, move.before, move.after
        if after.state is PointerState.ENDED:
            self._ended_s[job] = self.now_s
            self._restarts_at_end[job] = self._restarts_done.get(job, 0)
        if before is None or (before.generation, before.writer) == (
            after.generation,
            after.writer,
        ):
            return
        over = f"{job}: {by} claimed generation {after.generation} over {before.generation} ({before.writer})"
        if before.state is PointerState.RUNNING:
            if (job, before.generation, before.writer) not in self._closed:
                self.broken(f"{over}, which runs and was not closed")
        elif before.state is not PointerState.ENDED:
            return
        elif (job, after.generation, before.writer) not in self._free:
            self.broken(f"{over}, which ended, and the controller had not given that one free to it")
        elif before.exit_code == 0 and not self._asked(job):
            # A failure may be read and continued by the controller; success only by a person's wish.
            self.broken(f"{over}, which ended with 0 and nobody asked for more")

    def _asked(self, job: str) -> bool:
        """After the end; or before it, by a restart that the controller came to only later."""
        waiting = self._restarts.get(job, 0) > self._restarts_at_end.get(job, 0)
        return waiting or self._wishes.get(job, 0.0) > self._ended_s.get(job, 0.0)
