"""Hears the nodes: over the API, and for those that are quiet through their status objects in the bucket.

Silence may end a job's attempt, so it grows only while this controller could have heard: the process was
running, and the job's bucket was read not long ago without a change in it. A long pause means that it was
not running; so a tick that has very much to do counts its time in pieces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from outlast.bucket.status import parse_status
from outlast.protocol.codec import FormatError
from outlast.protocol.objects import status_key
from outlast_orchestrator.controller.looks import Looks
from outlast_orchestrator.controller.rhythm import Rhythm
from outlast_orchestrator.controller.world import Storage, World, is_sign_of_life
from outlast_orchestrator.core.ports import Clock, Nodes
from outlast_orchestrator.core.types import Attempt, Instance, Job
from outlast_orchestrator.core.view import Heard

PIECE_S = 2.0
READ_FRESH_MAX_S = 30.0  # of a reading that came since the tick before, however long ago that was

AttemptsByJob = Mapping[str, Sequence[Attempt]]
InstancesByJob = Mapping[str, Sequence[Instance]]


class Ears:
    def __init__(self, world: World, clock: Clock, nodes: Nodes, looks: Looks, rhythm: Rhythm) -> None:
        self._world = world
        self._clock = clock
        self._nodes = nodes
        self._looks = looks
        self._rhythm = rhythm
        self._last_s: float | None = None  # up to when silence was counted
        self._active: Sequence[Job] = ()  # as of this tick
        self._instances: InstancesByJob = {}
        self._listened_s = (0.0, 0.0)  # when the tick before began to listen, and this one

    def pass_time(self) -> None:
        """In the middle of a long tick."""
        now_s = self._clock.monotonic_s()
        if self._last_s is not None and now_s - self._last_s >= PIECE_S:
            self._count(now_s)

    def listen(self, active: Sequence[Job], attempts: AttemptsByJob, instances: InstancesByJob) -> None:
        """Once a tick: takes in status objects, lets silence grow, asks for more status objects."""
        now_s = self._clock.monotonic_s()
        for job in active:
            self._read_news(job, instances.get(job.id, ()))
        self._active, self._instances = active, instances
        self._listened_s = (self._listened_s[1], now_s)
        self._count(now_s)
        heard = self._nodes.heard()
        for job in active:
            self._ask(job, attempts.get(job.id, ()), instances.get(job.id, ()), heard, now_s)

    def _read_news(self, job: Job, records: Sequence[Instance]) -> None:
        storage = self._world.storage(job.id)
        known = {record.launch_id for record in records}
        news, storage.news = storage.news, {}
        for key, body in news.items():
            known_body = key in storage.bodies
            storage.bodies[key] = body
            try:
                report = parse_status(body)
            except FormatError:
                continue  # a torn or foreign object is no sign of life, and no proof against one
            if report.job != job.id:
                continue
            if report.instance not in known:
                # An owner whose machine is not listed yet (the store is an old one): it lives, whoever it is.
                storage.listening_s = 0.0 if known_body else storage.listening_s
                continue
            last = self._nodes.heard([report.instance]).get(report.instance)
            if is_sign_of_life(report, None if last is None else last.report, known_body):
                self._nodes.sign_of_life(report.instance, report)

    def _count(self, now_s: float) -> None:
        """The time since it was counted last, as silence of those that could have been heard in it."""
        gap_s = 0.0 if self._last_s is None else now_s - self._last_s
        self._last_s = now_s
        if not 0.0 < gap_s <= self._rhythm.gap_max_s:
            gap_s = 0.0
        self._nodes.account(True, self._grow(gap_s, now_s))

    def _grow(self, gap_s: float, now_s: float) -> set[str]:
        """Silence of nodes that were never heard; returns those whose silence may not grow now."""
        heard = self._nodes.heard()
        unreadable: set[str] = set()
        for job in self._active:
            storage = self._world.storage(job.id)
            if storage.pointer_read and not storage.failing:
                storage.listening_s += gap_s
            for record in self._instances.get(job.id, ()):
                machine = self._world.machine(record, now_s)
                known = heard.get(record.launch_id)
                silent_s = machine.unheard_s if known is None else known.silent_s
                if silent_s >= self._rhythm.quiet_after_s and not self._could_hear(storage, now_s):
                    unreadable.add(record.launch_id)
                elif known is None:
                    machine.unheard_s += gap_s
                else:
                    machine.unheard_s = 0.0
        return unreadable

    def _could_hear(self, storage: Storage, now_s: float) -> bool:
        if storage.failing:
            return False
        age_s = now_s - storage.status_read_s
        if age_s <= self._rhythm.status_fresh_s:
            return True
        # Where ticks are long, nothing newer can have come.
        return storage.status_read_s >= self._listened_s[0] and age_s <= READ_FRESH_MAX_S

    def _ask(
        self,
        job: Job,
        attempts: Sequence[Attempt],
        records: Sequence[Instance],
        heard: Mapping[str, Heard],
        now_s: float,
    ) -> None:
        storage = self._world.storage(job.id)
        if now_s - storage.status_asked_s < self._rhythm.status_every_s:
            return
        quiet: set[str] = set()
        for record in records:
            known = heard.get(record.launch_id)
            if known is None or known.silent_s >= self._rhythm.quiet_after_s:
                quiet.add(record.launch_id)
        keys = status_keys(attempts, quiet, heard)
        if keys:
            self._looks.read_statuses(job, keys)


def status_keys(attempts: Sequence[Attempt], quiet: set[str], heard: Mapping[str, Heard]) -> list[str]:
    """Where those nodes leave their status: under each open attempt of theirs, and the one last named."""
    keys = {status_key(a.generation, 0) for a in attempts if a.open and a.claimed and not a.launches}
    if not quiet:
        return sorted(keys)
    keys |= {
        status_key(attempt.generation, rank)
        for attempt in attempts
        if attempt.open
        for rank, launch_id in enumerate(attempt.launches)
        if launch_id in quiet
    }
    for launch_id in quiet:
        if launch_id in heard:
            report = heard[launch_id].report
            keys.add(status_key(report.generation, report.rank))
    return sorted(keys)
