"""SUCCEEDED if and only if the work was done: all steps, the right state, the outputs in the bucket."""

from __future__ import annotations

from outlast.bucket.outputs import INDEX, OutputIndex
from outlast.protocol.codec import load
from outlast.protocol.objects import Pointer, PointerState
from outlast_orchestrator.core.types import Job, JobState, Progress
from outlast_orchestrator.simulate.checkers.base import Checker, Move, path_of
from outlast_orchestrator.simulate.history import (
    FROM_BACKUP,
    STORE_RESTORED,
    Fact,
    Fault,
    StoreWrote,
    TrainerEnded,
    Wrote,
)
from outlast_orchestrator.simulate.trainer import OUTPUT, final_state, profile_of

TIMES_DONE_MAX = 4  # a machine may be lost between the last step and the end, but not again and again


class Succeeded(Checker):
    """An end whose write arrives when its job was cancelled already, and its machine is gone, changes nothing
    that a person asked for: nobody looks there again before the job is wanted again. The same holds when the
    store comes back from a time when the job was cancelled: the later wish is lost with the store. Nor does
    an end that was read bind a person who has asked for a restart, and then for something else."""

    name = "SUCCEEDED if and only if done"
    sees = (Fault, TrainerEnded, Wrote, StoreWrote)

    def __init__(self) -> None:
        super().__init__()
        self._jobs: dict[str, Job] = {}
        self._known: dict[str, Job] = {}  # to the store, which may have been restored
        self._states: dict[str, JobState] = {}
        self._done: set[str] = set()
        self._times: dict[str, set[int]] = {}  # job → generations, since a person last wanted something
        self._pointers: dict[str, Pointer] = {}
        self._too_late: set[str] = set()  # jobs that are cancelled, as far as the store knows, over an end
        self._gone_over: set[str] = set()  # jobs whose end was read, and that a person restarted
        self._outputs: dict[str, bytes] = {}

    def moved(self, move: Move) -> None:
        self._pointers[move.job] = move.after
        self._gone_over.discard(move.job)
        if move.after.state is PointerState.ENDED and move.after.exit_code == 0:
            if self._states.get(move.job) is JobState.CANCELLED:
                self._too_late.add(move.job)
            if move.job not in self._done:
                self.broken(f"{move.job}: {move.by} wrote the end with code 0, but no trainer was done")
            self._output(move.job, "the pointer says that it ended with 0")

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, Fault) and fact.kind == STORE_RESTORED:
            self._known.clear()
        elif isinstance(fact, TrainerEnded) and fact.done:
            self._done.add(fact.job)
            done = self._times.setdefault(fact.job, set())
            done.add(fact.generation)
            if len(done) > TIMES_DONE_MAX:
                self.broken(f"{fact.job} was done {len(done)} times: its end does not count")
        elif isinstance(fact, Wrote) and path_of(fact.key).startswith("outputs/"):
            self._outputs[fact.key] = fact.body
        elif isinstance(fact, StoreWrote):
            for row in fact.rows:
                if isinstance(row, Job):
                    self._jobs[row.id] = self._known[row.id] = row
                    self._times.pop(row.id, None)
                elif isinstance(row, Progress):
                    if fact.by == FROM_BACKUP and row.state is JobState.CANCELLED:
                        self._too_late.add(row.job)
                    self._progress(row)

    def _progress(self, row: Progress) -> None:
        known = self._states.get(row.job)
        self._states[row.job] = row.state
        if row.state is not JobState.CANCELLED:
            self._too_late.discard(row.job)
        pointer = self._pointers.get(row.job)
        if pointer is not None and row.pending_over_ended == pointer.writer:
            self._gone_over.add(row.job)
        if row.state is JobState.SUCCEEDED and known is not JobState.SUCCEEDED:
            if row.job not in self._done:
                self.broken(f"{row.job} is SUCCEEDED, but no trainer was done")
            self._output(row.job, "it is SUCCEEDED")

    def _output(self, job: str, claim: str) -> None:
        """The index of the newest generation names it, and the object is what it should be."""
        profile = profile_of(self._jobs[job].work.run)
        prefix = f"jobs/{job}/"
        indexes = [key for key in self._outputs if key.startswith(prefix + INDEX)]
        newest = max(indexes, key=lambda key: int(key.removeprefix(prefix + INDEX)[:-5]), default="")
        index = load(OutputIndex, self._outputs[newest]) if newest else None
        entries = {entry.path: entry.key for entry in index.files} if index else {}
        found = self._outputs.get(prefix + entries.get(OUTPUT, ""))
        if found != final_state(profile.job, profile.steps).encode():
            self.broken(f"{job}: {claim}, but the final state in the bucket is {found!r}")
        elif index is None or not index.complete:
            self.broken(f"{job}: {claim}, but its outputs are not said to be complete")

    def finish(self, at_s: float) -> None:
        self.now_s = at_s
        for job, pointer in self._pointers.items():
            ended = pointer.state is PointerState.ENDED and pointer.exit_code == 0
            judged = job in self._known and job not in self._too_late | self._gone_over
            if ended and judged and self._states.get(job) is not JobState.SUCCEEDED:
                self.broken(f"{job} has ended with 0, and is {self._states.get(job)}")
