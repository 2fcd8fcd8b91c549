"""A checkpoint of a gang is whole: it has the parts of all its nodes, all of the same step and state."""

from __future__ import annotations

from outlast.protocol.messages import FIRST_NODE
from outlast.protocol.objects import Manifest
from outlast_orchestrator.core.types import Job
from outlast_orchestrator.simulate.checkers.base import Checker, job_of, manifest_in, path_of
from outlast_orchestrator.simulate.gang_trainer import belongs
from outlast_orchestrator.simulate.history import Fact, StoreWrote, Wrote
from outlast_orchestrator.simulate.trainer import read_checkpoint

PART, MODEL = "part-", "model.bin"


class GangWhole(Checker):
    name = "a gang's checkpoint has all its parts"
    sees = (StoreWrote, Wrote)

    def __init__(self) -> None:
        super().__init__()
        self._jobs: dict[str, Job] = {}
        self._objects: dict[str, bytes] = {}
        self.judged = 0

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, StoreWrote):
            self._jobs.update({row.id: row for row in fact.rows if isinstance(row, Job) and row.nodes > 1})
        elif isinstance(fact, Wrote):
            path, job = path_of(fact.key), job_of(fact.key)
            if path.startswith("checkpoints/") and path.rpartition("/")[2].startswith((PART, MODEL)):
                self._objects[fact.key] = fact.body
            elif path.startswith("manifests/") and job in self._jobs:
                self._judge(self._jobs[job], manifest_in(fact.body))

    def _judge(self, job: Job, manifest: Manifest) -> None:
        if job.work.checkpoint.parts == FIRST_NODE:
            return
        self.judged += 1
        found = {entry.path: self._objects.get(f"jobs/{job.id}/{entry.key}") for entry in manifest.files}
        model = found.get(MODEL)
        if model is None:
            self.broken(f"{job.id}: {manifest.name} has no {MODEL}")
            return
        step, state = read_checkpoint({MODEL: model})
        for rank in range(job.nodes):
            if not belongs(found.get(f"{PART}{rank}.bin"), step, state):
                self.broken(f"{job.id}: {manifest.name} was committed without the part of node {rank}")
