"""Nothing hangs: at the end in peace every job is where its person wanted it, or failed for a cause."""

from __future__ import annotations

from outlast_orchestrator.core.types import Job, JobState, Progress, Wanted
from outlast_orchestrator.simulate.checkers.base import Checker
from outlast_orchestrator.simulate.history import (
    STORE_RESTORED,
    Fact,
    Fault,
    StoreWrote,
    TrainerEnded,
)
from outlast_orchestrator.simulate.trainer import PEER_LOST

# A wish that a restored store has forgotten: the job is not started blindly, a person is told.
STOPPED_BEFORE = "the backup that this store was restored from"


class Finished(Checker):
    name = "every job comes to its end"
    sees = (Fault, TrainerEnded, StoreWrote)

    def __init__(self) -> None:
        super().__init__()
        self._jobs: dict[str, Job] = {}
        self._progress: dict[str, Progress] = {}
        self._crashed: set[str] = set()

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, Fault) and fact.kind == STORE_RESTORED:
            self._jobs.clear()  # what was submitted since is known to nobody any more
            self._progress.clear()
        elif isinstance(fact, TrainerEnded) and (fact.bad or fact.code not in (None, 0, PEER_LOST)):
            self._crashed.add(fact.job)
        elif isinstance(fact, StoreWrote):
            for row in fact.rows:
                if isinstance(row, Job):
                    self._jobs[row.id] = row
                elif isinstance(row, Progress):
                    self._judge(row)

    def _judge(self, row: Progress) -> None:
        self._progress[row.job] = row
        if row.state is not JobState.FAILED or row.job in self._crashed:
            return
        if STOPPED_BEFORE not in row.why:
            self.broken(f"{row.job} FAILED, though its trainer never did: {row.why}")

    def finish(self, at_s: float) -> None:
        self.now_s = at_s
        for job in self._jobs.values():
            progress = self._progress.get(job.id, Progress(job.id))
            wanted = {
                Wanted.RUN: (JobState.SUCCEEDED, JobState.FAILED),
                Wanted.PAUSED: (JobState.PAUSED, JobState.SUCCEEDED, JobState.FAILED),
                Wanted.CANCELLED: (JobState.CANCELLED, JobState.SUCCEEDED, JobState.FAILED),
            }[job.wanted]
            if progress.state not in wanted:
                self.broken(f"{job.id} is {progress.state.value}, wanted {job.wanted.value}: {progress.why}")
