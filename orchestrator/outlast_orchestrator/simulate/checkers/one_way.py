"""Leaving `kept` is one-way: what has left is never listed again."""

from __future__ import annotations

from outlast_orchestrator.simulate.checkers.base import Checker, Move


class OneWay(Checker):
    name = "leaving is one-way"

    def __init__(self) -> None:
        super().__init__()
        self._left: set[tuple[str, str]] = set()

    def moved(self, move: Move) -> None:
        job, by, before, after = move.job, move.by, move.before, move.after
        names = [ref.name for ref in after.kept]
        for name in names:
            if (job, name) in self._left:
                self.broken(f"{job}: {by} lists {name} again, which had left")
        if before is not None:
            self._left.update((job, ref.name) for ref in before.kept if ref.name not in names)
            known = {ref.name for ref in before.kept}
            added = [name for name in names if name not in known]
            if len(added) > 1:
                self.broken(f"{job}: {by} added {', '.join(added)} in one write")
        for name in after.pinned:
            if name not in names:
                self.broken(f"{job}: {by} lists {name} as pinned, which is not kept")
