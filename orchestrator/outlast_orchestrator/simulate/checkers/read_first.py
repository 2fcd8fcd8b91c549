"""A controller ends nothing of a job before it has read that job's pointer: its store may be an old one."""

from __future__ import annotations

from outlast_orchestrator.core.types import Instance, InstancePhase, Job
from outlast_orchestrator.simulate.checkers.base import Checker
from outlast_orchestrator.simulate.history import (
    FROM_BACKUP,
    STORE_RESTORED,
    Fact,
    Fault,
    Launched,
    PointerKnown,
    StoreWrote,
    TerminateAsked,
)

OVER = (InstancePhase.TERMINATING, InstancePhase.GONE)


class ReadFirst(Checker):
    """Of a job that the store does not know: not before all the pointers that it knows were read. An end that
    was decided before the backup was made, or by who had read it, is only repeated: a record goes forward."""

    name = "pointers are read before anything is ended"
    sees = (Fault, StoreWrote, Launched, PointerKnown, TerminateAsked)

    def __init__(self) -> None:
        super().__init__()
        self._restored = False
        self._known: dict[str, None] = {}  # jobs, to the store
        self._owners: dict[str, str] = {}  # machine → job
        self._launches: dict[str, str] = {}  # machine → launch id
        self._read: set[tuple[str, str]] = set()  # (process, job)
        self._decided: set[str] = set()  # launches whose end the backup knows of, or was decided in order

    def saw(self, fact: Fact) -> None:
        if isinstance(fact, Fault) and fact.kind == STORE_RESTORED:
            self._restored = True
            self._known.clear()
            self._decided.clear()
        elif isinstance(fact, StoreWrote):
            self._known.update({row.id: None for row in fact.rows if isinstance(row, Job)})
            doomed = [row for row in fact.rows if isinstance(row, Instance) and row.phase in OVER]
            if fact.by != FROM_BACKUP:
                doomed = [row for row in doomed if not self._unread(fact.by, row.job)]
            self._decided.update(row.launch_id for row in doomed)
        elif isinstance(fact, Launched):
            self._owners[fact.machine] = fact.request.job
            self._launches[fact.machine] = fact.request.launch_id
        elif isinstance(fact, PointerKnown):
            self._read.add((fact.by, fact.job))
        elif isinstance(fact, TerminateAsked) and self._restored:
            self._judge(fact)

    def _judge(self, asked: TerminateAsked) -> None:
        job = self._owners[asked.machine]
        unread = self._unread(asked.by, job)
        if unread and self._launches[asked.machine] not in self._decided:
            what = f"{asked.by} ended {asked.machine} of {job}"
            self.broken(f"{what} before it had read the pointer of {unread[0]}")

    def _unread(self, process: str, job: str) -> list[str]:
        needed = [job] if job in self._known else list(self._known)
        return [other for other in needed if (process, other) not in self._read]
