"""What the pointer lists as pinned stays: it never leaves `kept` while the wish for its pin is there."""

from __future__ import annotations

from outlast_orchestrator.simulate.checkers.base import Checker, Move, job_of, path_of
from outlast_orchestrator.simulate.history import Deleted, Fact, Wrote

PINS = "pins/"


class Pinned(Checker):
    name = "a pinned checkpoint stays"
    sees = (Wrote, Deleted)

    def __init__(self) -> None:
        super().__init__()
        self._wishes: set[tuple[str, str]] = set()  # (job, checkpoint)

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, (Wrote, Deleted)) and path_of(fact.key).startswith(PINS):
            wish = (job_of(fact.key), path_of(fact.key).removeprefix(PINS))
            if isinstance(fact, Wrote):
                self._wishes.add(wish)
            else:
                self._wishes.discard(wish)

    def moved(self, move: Move) -> None:
        job, before, after = move.job, move.before, move.after
        if before is None:
            return
        names = {ref.name for ref in after.kept}
        for name in before.pinned:
            if (job, name) not in self._wishes:
                continue
            if name not in names:
                self.broken(f"{job}: {move.by} let {name} go, which a person has pinned")
            elif name not in after.pinned:
                self.broken(f"{job}: {move.by} lists {name} as pinned no more, and the wish is still there")
