"""Objects are created once: only the pointer, status, pins, mail and the index of outputs change."""

from __future__ import annotations

from outlast.protocol.objects import POINTER_KEY
from outlast_orchestrator.simulate.checkers.base import Checker, path_of
from outlast_orchestrator.simulate.history import Deleted, Fact, Wrote

CHANGEABLE = ("status/", "pins/", "outputs/index-g", "mail/")


class Overwrites(Checker):
    name = "objects are never overwritten"
    sees = (Deleted, Wrote)

    def __init__(self) -> None:
        super().__init__()
        self._deleted: dict[str, bytes] = {}
        self._objects: dict[str, bytes] = {}

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, Deleted) and fact.key in self._objects:
            self._deleted[fact.key] = self._objects.pop(fact.key)
        if not isinstance(fact, Wrote):
            return
        path = path_of(fact.key)
        if path == POINTER_KEY or path.startswith(CHANGEABLE):
            return
        if fact.before is not None:
            what = "the same bytes" if fact.before == fact.body else "other bytes"
            self.broken(f"{fact.by} wrote {what} over {fact.key}")
        # The same bytes are a request that was given up long ago and comes late: rubbish, but no harm.
        if self._deleted.get(fact.key, fact.body) != fact.body:
            self.broken(f"{fact.by} wrote other bytes under {fact.key}, which had been deleted")
        self._objects[fact.key] = fact.body
