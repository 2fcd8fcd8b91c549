"""Every resume is from the newest whole checkpoint on the head's chain, never from 0 when there was one."""

from __future__ import annotations

from outlast.protocol.objects import Manifest, Pointer
from outlast_orchestrator.simulate.checkers.base import Checker, Move, job_of, manifest_in, path_of
from outlast_orchestrator.simulate.history import Fact, TrainerStarted, Wrote
from outlast_orchestrator.simulate.trainer import read_checkpoint


class Resume(Checker):
    """Remembers what each generation may resume from: the head that its claim wrote, and its parents."""

    name = "resume from the head's chain"
    sees = (Wrote, TrainerStarted)

    def __init__(self) -> None:
        super().__init__()
        self._objects: dict[str, bytes] = {}
        self._manifests: dict[tuple[str, str], Manifest] = {}
        self._claims: dict[tuple[str, int], Pointer] = {}
        self._restored: dict[tuple[str, int], list[tuple[int, str]]] = {}
        self._durable: dict[str, str] = {}  # job → the newest head that it ever had
        self._newest: dict[str, int] = {}  # job → the generation that owns it

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, Wrote):
            path = path_of(fact.key)
            if path.startswith("checkpoints/") and path.endswith("model.bin"):
                self._objects[fact.key] = fact.body
            elif path.startswith("manifests/"):
                manifest = manifest_in(fact.body)
                self._manifests[job_of(fact.key), manifest.name] = manifest
        elif isinstance(fact, TrainerStarted):
            self._judge(fact)

    def moved(self, move: Move) -> None:
        job, before, after = move.job, move.before, move.after
        self._newest[job] = after.generation
        if after.head is not None:
            self._durable[job] = after.head.name
        if before is None or before.generation != after.generation:
            self._claims[job, after.generation] = after
            self._restored[job, after.generation] = self._chain(job, after)

    def _chain(self, job: str, pointer: Pointer) -> list[tuple[int, str]]:
        """(step, state) of the head and of its parents, as far as they are kept."""
        kept = {ref.name for ref in pointer.kept}
        found: list[tuple[int, str]] = []
        ref = pointer.head
        while ref is not None and ref.name in kept:
            manifest = self._manifests[job, ref.name]
            for entry in manifest.files:
                if entry.path == "model.bin":
                    body = self._objects[f"jobs/{job}/{entry.key}"]
                    found.append(read_checkpoint({entry.path: body}))
            ref = manifest.parent
        return found

    def _judge(self, start: TrainerStarted) -> None:
        where = f"{start.job}: generation {start.generation} on {start.machine}"
        claim = self._claims.get((start.job, start.generation))
        if claim is None:
            self.broken(f"{where} trains without having claimed")
        elif self._newest[start.job] > start.generation:
            return  # superseded: what its claim named may be pruned by now, and it is about to be killed
        elif not start.chain:
            if start.job in self._durable:
                self.broken(f"{where} started at 0, although {self._durable[start.job]} was durable")
        else:
            self._judge_content(where, start, self._restored[start.job, start.generation])

    def _judge_content(self, where: str, start: TrainerStarted, chain: list[tuple[int, str]]) -> None:
        if (start.step, start.chain) not in chain:
            self.broken(f"{where} resumed from step {start.step}, whose content is on no chain of its claim")
        elif (start.step, start.chain) != chain[0]:
            # Nothing in this world breaks bytes: there is no reason to fall back.
            self.broken(f"{where} resumed from step {start.step}, although the head of its claim is whole")
