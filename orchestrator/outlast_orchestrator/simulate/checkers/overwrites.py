"""Objects are created once: only the pointer, status, pins, outputs and mail change."""

from __future__ import annotations

from outlast.protocol.objects import POINTER_KEY
from outlast_orchestrator.simulate.checkers.base import Checker, path_of
from outlast_orchestrator.simulate.history import Deleted, Fact, Wrote

CHANGEABLE = ("status/", "pins/", "outputs/", "mail/")


class Overwrites(Checker):
    name = "objects are never overwritten"

    def __init__(self) -> None:
        super().__init__()
        self._deleted: set[str] = set()

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, Deleted):
            self._deleted.add(fact.key)
        if not isinstance(fact, Wrote):
            return
        path = path_of(fact.key)
        if path == POINTER_KEY or path.startswith(CHANGEABLE):
            return
        if fact.before is not None:
            what = "the same bytes" if fact.before == fact.body else "other bytes"
            self.broken(f"{fact.by} wrote {what} over {fact.key}")
        if fact.key in self._deleted:
            self.broken(f"{fact.by} wrote {fact.key} again after it had been deleted")
