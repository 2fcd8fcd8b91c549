"""The head's chain of parents is linear: a new head's parent is the head that it replaces."""

from __future__ import annotations

from outlast.protocol.objects import ManifestRef
from outlast_orchestrator.simulate.checkers.base import Checker, Move, job_of, manifest_in, path_of
from outlast_orchestrator.simulate.history import Fact, Wrote


class Chain(Checker):
    name = "the chain of parents is linear"
    sees = (Wrote,)

    def __init__(self) -> None:
        super().__init__()
        self._parents: dict[tuple[str, str], ManifestRef | None] = {}

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, Wrote) and path_of(fact.key).startswith("manifests/"):
            manifest = manifest_in(fact.body)
            self._parents[job_of(fact.key), manifest.name] = manifest.parent

    def moved(self, move: Move) -> None:
        job, by, before, after = move.job, move.by, move.before, move.after
        old = None if before is None else before.head
        if after.head == old:
            return
        if after.head is None:
            self.broken(f"{job}: {by} wrote a pointer without a head over one with {old}")
            return
        claimed = before is None or after.generation != before.generation
        if claimed:
            if before is None or after.head not in before.kept:
                self.broken(f"{job}: {by} claimed with head {after.head.name}, which was not kept")
            return
        parent = self._parents.get((job, after.head.name))
        if parent != old:
            was, is_ = (old.name if old else "none"), (parent.name if parent else "none")
            self.broken(f"{job}: head {after.head.name} has parent {is_}, but the head was {was}")
