"""The store in memory: all of the `Store` port without a database, for the simulation and for tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from outlast.protocol.values import replace
from outlast_orchestrator.core.errors import Deposed, StoreError, UserError
from outlast_orchestrator.core.events import Event
from outlast_orchestrator.core.ports import Clock, Row, Rows, Term
from outlast_orchestrator.core.types import (
    OVER,
    Attempt,
    Block,
    FactMark,
    Instance,
    InstancePhase,
    Job,
    Progress,
)
from outlast_orchestrator.simulate.backup import Backup

Committed = tuple[Attempt | Instance | Progress | Job, ...]


class MemoryStore:
    """Rows are frozen values, so what is given out needs no copy. Never touched by two tasks at once."""

    def __init__(
        self,
        clock: Clock,
        owner: str,
        touched: Callable[[str], None] = lambda _deed: None,
        wrote: Callable[[Committed, tuple[Event, ...]], None] = lambda _rows, _events: None,
    ) -> None:
        self._clock = clock
        self._owner = owner
        self._touched = touched  # called around every access: where a simulated process may die
        self._wrote = wrote
        self._term: Term | None = None
        self._beat = 0  # grows with every renewal
        self._ttl_s = 0.0
        self._watched: dict[str, tuple[tuple[int, str, int], float]] = {}  # candidate → what it saw, since
        self._jobs: dict[str, Job] = {}
        self._progress: dict[str, Progress] = {}
        self._attempts: dict[tuple[str, int], Attempt] = {}
        self._open: list[Attempt] | None = None  # as `open_attempts` found them, until one changes
        self._rows: Rows | None = None  # as `rows` found them, until something changes
        self._instances: dict[str, Instance] = {}
        self._blocks: dict[str, Block] = {}
        self._marks: dict[tuple[str, str], int] = {}
        self._events: list[Event] = []
        self._event_seq = 0
        self._tokens: dict[str, tuple[str, str, float]] = {}

    def owner(self) -> str:
        return self._owner

    # leadership

    def lead(self, holder: str, ttl_s: float) -> Term | None:
        """A candidate takes over after it has itself watched the leader not renew for its time to live."""
        self._touched("")
        term = self._term
        if term is None or term.holder != holder:
            if term is not None and term.holder and not self._expired(holder, term, ttl_s):
                return None
            self._beat = 0
            self._term = term = Term(1 if term is None else term.number + 1, holder)
        self._beat += 1
        self._ttl_s = ttl_s
        self._watched.pop(holder, None)
        return term

    def _expired(self, holder: str, term: Term, ttl_s: float) -> bool:
        now_s = self._clock.monotonic_s()
        seen = (term.number, term.holder, self._beat)
        watched, since_s = self._watched.get(holder, (seen, now_s))
        if watched != seen:
            since_s = now_s
        self._watched[holder] = (seen, since_s)
        return now_s - since_s >= max(self._ttl_s, ttl_s)

    def leads(self, term: Term) -> bool:
        self._touched("")
        return self._term == term

    def resign(self, term: Term) -> None:
        self._touched("")
        if self._term == term:
            self._term = Term(term.number, "")

    def _check(self, term: Term) -> None:
        if self._term is None:
            raise StoreError("the store has no leader: nothing may be written")
        if self._term != term:
            raise Deposed(f"term {term.number} is over: term {self._term.number} is the newest")

    # backups

    def backup(self) -> Backup:
        return Backup(
            0 if self._term is None else self._term.number,
            dict(self._jobs), dict(self._progress), dict(self._attempts), dict(self._instances),
            dict(self._blocks), dict(self._marks), list(self._events), dict(self._tokens),
        )  # fmt: skip

    def restore(self, old: Backup) -> Committed:
        """What was written since is lost; numbers of terms and events come again. Nobody leads.

        Returns the rows that are there now.
        """
        self._term, self._beat = Term(old.term, ""), 0
        self._watched.clear()
        self._open = None
        self._rows = None
        self._jobs, self._attempts, self._instances = (
            dict(old.jobs), dict(old.attempts), dict(old.instances),
        )  # fmt: skip
        self._progress = {job: replace(row, restored=True) for job, row in old.progress.items()}
        self._blocks, self._marks, self._tokens = dict(old.blocks), dict(old.marks), dict(old.tokens)
        self._events = list(old.events)
        self._event_seq = max((event.seq for event in self._events), default=0)
        rows: Committed = (*self._jobs.values(), *self._progress.values(), *self._attempts.values())
        return (*rows, *self._instances.values())

    # the leader's rows

    def commit(
        self, term: Term, rows: Sequence[Row], events: Sequence[Event], unblock: Sequence[str] = ()
    ) -> None:
        self._touched("commit")
        self._check(term)
        self._rows = None
        for row in rows:
            self._put(row)
        for scope in unblock:
            self._blocks.pop(scope, None)
        logged = tuple(self._log(event) for event in events)
        told = tuple(row for row in rows if not isinstance(row, (Block, FactMark)))
        self._wrote(told, logged)
        self._touched("commit")

    def _put(self, row: Row) -> None:
        if isinstance(row, Attempt):
            self._attempts[row.job, row.generation] = row
            self._open = None
        elif isinstance(row, Instance):
            self._instances[row.launch_id] = row
        elif isinstance(row, Progress):
            self._progress[row.job] = row
        elif isinstance(row, Block):
            self._blocks[row.scope] = row
        else:
            self._marks[row.launch_id, row.boot] = row.until

    def _log(self, event: Event) -> Event:
        self._event_seq += 1
        at = self._clock.wall_s() - event.age_s
        stored = replace(event, seq=self._event_seq, at=at)
        self._events.append(stored)
        return stored

    def rows(self) -> Rows:
        """The very same as long as nothing was committed, as the real store gives them."""
        self._touched("")
        if self._rows is None:
            jobs, progress, blocks = self._jobs.values(), self._progress.values(), self._blocks.values()
            living = [row for row in self._instances.values() if row.phase is not InstancePhase.GONE]
            self._rows = Rows([*jobs], [*progress], self._open_ones(), living, [*blocks], self.damaged())
        return self._rows

    def progress(self) -> list[Progress]:
        self._touched("")
        return list(self._progress.values())

    def attempts(self, job: str | None = None) -> list[Attempt]:
        self._touched("")
        return [self._attempts[key] for key in sorted(self._attempts) if job is None or key[0] == job]

    def open_attempts(self) -> list[Attempt]:
        self._touched("")
        return self._open_ones()

    def _open_ones(self) -> list[Attempt]:
        if self._open is None:
            rows = [row for _, row in sorted(self._attempts.items())]
            newest = {row.job: row.generation for row in rows if not row.open}
            self._open = [row for row in rows if row.open or newest.get(row.job) == row.generation]
        return list(self._open)

    def instances(self, job: str | None = None, *, gone: bool = True) -> list[Instance]:
        self._touched("")
        return [
            row
            for row in self._instances.values()
            if (job is None or row.job == job) and (gone or row.phase is not InstancePhase.GONE)
        ]

    def blocks(self) -> list[Block]:
        self._touched("")
        return list(self._blocks.values())

    def damaged(self) -> dict[str, str]:
        return {}

    def fact_marks(self) -> dict[tuple[str, str], int]:
        self._touched("")
        living = {row.launch_id for row in self._instances.values() if row.phase is not InstancePhase.GONE}
        return {key: until for key, until in self._marks.items() if key[0] in living}

    def forget_events(self, term: Term, before_at: float) -> int:
        self._touched("")
        self._check(term)
        over = {job for job, row in self._progress.items() if row.state in OVER} | {""}
        kept = [event for event in self._events if event.at >= before_at or event.job not in over]
        dropped = len(self._events) - len(kept)
        self._events = kept
        return dropped

    # people's rows

    def submit(self, job: Job, event: Event) -> None:
        self._touched("")
        for other in self._jobs.values():
            progress = self._progress.get(other.id)
            if other.name == job.name and (progress is None or progress.state not in OVER):
                raise UserError(
                    f"a job called {job.name!r} is not over yet: choose another name, or cancel it"
                )
        self._jobs[job.id] = job
        self._rows = None
        self._wrote((job,), (self._log(event),))

    def wish(self, job: Job, event: Event) -> None:
        self._touched("")
        known = self._jobs.get(job.id)
        if known is None or job.wanted_number <= known.wanted_number:
            raise StoreError(f"job {job.name!r} was changed by somebody else meanwhile: look again")
        self._jobs[job.id] = job
        self._rows = None
        self._wrote((job,), (self._log(event),))

    def jobs(self) -> list[Job]:
        self._touched("")
        return list(self._jobs.values())

    def job(self, name_or_id: str) -> Job | None:
        self._touched("")
        if name_or_id in self._jobs:
            return self._jobs[name_or_id]
        named = [job for job in self._jobs.values() if job.name == name_or_id]
        return max(named, key=lambda job: job.created_at, default=None)

    # events and tokens

    def events(self, job: str | None, after: int, limit: int) -> list[Event]:
        self._touched("")
        found = [e for e in self._events if e.seq > after and (job is None or e.job == job)]
        return found[:limit]

    def last_events(self, job: str, limit: int) -> list[Event]:
        self._touched("")
        return [e for e in self._events if e.job == job][-limit:] if limit > 0 else []

    def add_token(self, name: str, token_hash: str, scope: str, expires_at: float) -> None:
        self._touched("")
        self._tokens[token_hash] = (name, scope, expires_at)

    def token(self, token_hash: str) -> tuple[str, str, float] | None:
        self._touched("")
        if token_hash in self._tokens:
            return self._tokens[token_hash]
        for row in self._instances.values():
            if row.token_hash == token_hash and token_hash and row.phase is not InstancePhase.GONE:
                return (row.launch_id, "node", row.intended_at + row.request.max_life_s)
        return None

    def knows_node(self, launch_id: str, job: str) -> bool:
        """What the API asks of a node's token. Not an access of the simulated process that calls it."""
        row = self._instances.get(launch_id)
        return row is not None and row.job == job and row.phase is not InstancePhase.GONE

    def lives(self, job: str) -> bool:
        """It was submitted and is not over."""
        progress = self._progress.get(job)
        return job in self._jobs and (progress is None or progress.state not in OVER)

    def attempts_made(self) -> int:
        return len(self._attempts)
