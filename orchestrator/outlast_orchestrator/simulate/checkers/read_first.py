"""A controller ends nothing of a job before it has read that job's pointer: its store may be an old one."""

from __future__ import annotations

from outlast_orchestrator.core.types import Job
from outlast_orchestrator.simulate.checkers.base import Checker
from outlast_orchestrator.simulate.history import (
    STORE_RESTORED,
    Fact,
    Fault,
    Launched,
    PointerKnown,
    StoreWrote,
    TerminateAsked,
)


class ReadFirst(Checker):
    """Of a job that the store does not know: not before all the pointers that it knows were read."""

    name = "pointers are read before anything is ended"

    def __init__(self) -> None:
        super().__init__()
        self._restored = False
        self._known: dict[str, None] = {}  # jobs, to the store
        self._owners: dict[str, str] = {}  # machine → job
        self._read: set[tuple[str, str]] = set()  # (process, job)

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, Fault) and fact.kind == STORE_RESTORED:
            self._restored = True
            self._known.clear()
        elif isinstance(fact, StoreWrote):
            self._known.update({row.id: None for row in fact.rows if isinstance(row, Job)})
        elif isinstance(fact, Launched):
            self._owners[fact.machine] = fact.request.job
        elif isinstance(fact, PointerKnown):
            self._read.add((fact.by, fact.job))
        elif isinstance(fact, TerminateAsked) and self._restored:
            self._judge(fact)

    def _judge(self, asked: TerminateAsked) -> None:
        job = self._owners[asked.machine]
        needed = [job] if job in self._known else list(self._known)
        unread = [other for other in needed if (asked.by, other) not in self._read]
        if unread:
            what = f"{asked.by} ended {asked.machine} of {job}"
            self.broken(f"{what} before it had read the pointer of {unread[0]}")
