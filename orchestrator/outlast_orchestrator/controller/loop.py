"""The tick: lead → observe → decide → act, for every job, each on its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from outlast_orchestrator.controller.act import Actor, NodeSettings, Retry, log_events
from outlast_orchestrator.controller.looks import Looks
from outlast_orchestrator.controller.news import Troubles, facts
from outlast_orchestrator.controller.observe import Observer, Snapshot, read_snapshot
from outlast_orchestrator.controller.rhythm import Rhythm
from outlast_orchestrator.controller.schedule import PRICES, RETENTION, SWEEP, Due
from outlast_orchestrator.controller.sweep import Adoption, Sweeper
from outlast_orchestrator.controller.world import NOT_LISTED_YET, World
from outlast_orchestrator.core.actions import Decision
from outlast_orchestrator.core.errors import Deposed, StoreError
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.ports import (
    Calls,
    Clock,
    Nodes,
    Pointers,
    Policy,
    Provider,
    Remote,
    Store,
    Term,
)
from outlast_orchestrator.core.types import Job
from outlast_orchestrator.core.view import JobView, Limits

WAIT_MIN_S = 0.02  # a burst of messages is one tick
AGAIN_S = 1.0  # after trouble with the store, and while another controller leads
FIRST_LISTING_LIMIT_S = 20.0
SWEEP_POINTERS_MAX = 16  # read for one sweep at a time
DAY_S = 86_400.0

log = structlog.get_logger("outlast.controller")

Decide = Callable[[JobView, Policy], Decision]


@dataclass(frozen=True)
class Parts:
    """All that a controller stands on; it knows only ports."""

    clock: Clock
    store: Store
    nodes: Nodes
    calls: Calls
    pointers: Pointers
    providers: Mapping[str, Provider]
    remotes: Mapping[str, Remote]
    decide: Decide
    policies: Mapping[str, Policy]
    limits: Callable[[Sequence[str]], Limits]  # of these clouds together
    node: NodeSettings
    due: Due
    holder: str  # random, of this process
    sleep: Callable[[float], None]
    retry: Retry = field(default_factory=Retry)
    rhythm: Rhythm = field(default_factory=Rhythm)
    leader_ttl_s: float = 15.0
    keep_events_s: float = 90 * DAY_S


class _Reign:
    """What belongs to one term: evidence that was gathered before it is not carried into it."""

    def __init__(self, parts: Parts, term: Term) -> None:
        clock, store, nodes, calls = parts.clock, parts.store, parts.nodes, parts.calls
        limits, rhythm = parts.limits, parts.rhythm
        self.term = term
        self.begun_s = clock.monotonic_s()
        self.world = World(self.begun_s)
        self.looks = Looks(self.world, clock, calls, parts.pointers, parts.providers, rhythm)
        self.observer = Observer(
            self.world, clock, store, nodes, calls, self.looks, parts.limits, parts.rhythm
        )
        self.actor = Actor(
            self.world,
            clock,
            store,
            nodes,
            calls,
            self.looks,
            parts.pointers,
            parts.providers,
            parts.remotes,
            parts.node,
            parts.sleep,
            parts.retry,
        )
        known = limits(list(parts.providers))
        adoption = Adoption(parts.node.key, known.instance_life_max_s, known.orphan_grace_s)
        self.sweeper = Sweeper(self.world, store.owner(), adoption)
        self.troubles = Troubles()
        self.marks = store.fact_marks()


class Controller:
    def __init__(self, parts: Parts, alarm: threading.Event) -> None:
        self._parts = parts
        self._alarm = alarm  # set by whoever has news for the tick
        self._stopped = threading.Event()
        self._reign: _Reign | None = None
        self._renewed_s = 0.0
        self._whys: dict[str, str] = {}
        self._broken: dict[str, str] = {}
        self._wakes_s: dict[str, float] = {}

    # from other threads

    def leading(self) -> bool:
        return self._reign is not None

    def next_wake_s(self, job: str) -> float | None:
        """Seconds until that job is looked at on its own account."""
        wake_s = self._wakes_s.get(job)
        return None if wake_s is None else max(0.0, wake_s - self._parts.clock.monotonic_s())

    def stop(self) -> None:
        """Ends `run` after the tick that is under way. Running jobs are left alone."""
        self._stopped.set()
        self._alarm.set()

    # the loop

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                wait_s = self.tick()
            except Exception:
                log.exception("a tick failed in an unforeseen way")
                wait_s = AGAIN_S
            self._alarm.wait(wait_s)
            self._stopped.wait(WAIT_MIN_S)
            self._alarm.clear()
        self._resign()

    def tick(self) -> float:
        """One look at everything; returns for how long nothing needs to be looked at."""
        try:
            reign = self._lead()
            return AGAIN_S if reign is None else self._look(reign)
        except Deposed as error:
            self._lost(str(error))
        except StoreError as error:
            log.error("nothing can be done without the store", problem=str(error))
        return AGAIN_S

    def _look(self, reign: _Reign) -> float:
        snapshot = reign.observer.look()
        self._write_news(reign, snapshot)
        snapshot = self._periodic(reign, snapshot)
        if not self._sees_enough(reign):
            return 0.1
        active = snapshot.active()
        for job in active:
            self._one(reign, job, snapshot)
        now_s, tick_s = self._parts.clock.monotonic_s(), self._parts.rhythm.tick_s
        self._wakes_s = {job.id: self._wakes_s[job.id] for job in active if job.id in self._wakes_s}
        soonest_s = min(self._wakes_s.values(), default=now_s + tick_s)
        return min(max(soonest_s - now_s, 0.0), tick_s)

    def _one(self, reign: _Reign, job: Job, snapshot: Snapshot) -> None:
        """One job's turn. Whatever goes wrong with it stays with it."""
        self._wakes_s.pop(job.id, None)
        try:
            view = reign.observer.view(job, snapshot)
            policy = self._parts.policies[job.policy]
            decision = self._parts.decide(view, policy)
            reign.actor.act(reign.term, job, decision)
        except Deposed:
            raise
        except Exception as error:  # noqa: BLE001  # of whatever kind: the other jobs go on
            self._failed(reign, job, error)
            return
        self._broken.pop(job.id, None)
        if decision.wake_s is not None:
            self._wakes_s[job.id] = decision.wake_s
        if self._whys.get(job.id) != decision.why:
            self._whys[job.id] = decision.why
            log.info("why", job=job.id, name=job.name, why=decision.why)

    def _failed(self, reign: _Reign, job: Job, error: Exception) -> None:
        """Told once; the job is looked at again with every tick, and nothing of it is changed."""
        text = f"{type(error).__name__}: {error}"
        if self._broken.get(job.id) == text:
            return
        self._broken[job.id] = text
        log.error("a job could not be looked after", job=job.id, problem=text, exc_info=error)
        if isinstance(error, StoreError):
            return  # an event could not be written either
        why = f"the controller can't look after this job: {text}; what runs goes on, the log has more"
        reign_event = Event(Kind.TELL, why, job.id)
        try:
            self._parts.store.commit(reign.term, [], [reign_event])
        except StoreError as trouble:
            log.error("an event could not be written", job=job.id, problem=str(trouble))

    # what belongs to the controller as a whole

    def _write_news(self, reign: _Reign, snapshot: Snapshot) -> None:
        """Facts of agents and trouble with clouds, into the log; then the agents may drop them."""
        parts = self._parts
        heard = parts.nodes.heard()
        records = {record.launch_id: record for record in snapshot.records()}
        news = facts(heard, records, reign.marks, parts.clock.monotonic_s())
        events = [*news.events, *reign.troubles.events(reign.world.regions)]
        if events:
            parts.store.commit(reign.term, list(news.marks), events)
            log_events(events)
        reign.marks.update({(mark.launch_id, mark.boot): mark.until for mark in news.marks})
        for launch_id, one in heard.items():
            until = reign.marks.get((launch_id, one.report.boot), 0)
            parts.nodes.facts_recorded(launch_id, one.report.boot, until)

    def _periodic(self, reign: _Reign, snapshot: Snapshot) -> Snapshot:
        parts = self._parts
        if parts.due.take(PRICES):
            reign.world.prices_are_old()
        if parts.due.take(RETENTION):
            parts.store.forget_events(reign.term, parts.clock.wall_s() - parts.keep_events_s)
        if reign.looks.knows_regions() and parts.due.take(SWEEP):
            reign.looks.list_regions(0.0)
        return self._sweep(reign, snapshot) if reign.sweeper.due() else snapshot

    def _sweep(self, reign: _Reign, snapshot: Snapshot) -> Snapshot:
        parts, now_s = self._parts, self._parts.clock.monotonic_s()
        found = reign.sweeper.look(
            {record.launch_id: record for record in snapshot.records()},
            lambda: {record.launch_id: record for record in parts.store.instances()},
            snapshot.jobs,
            now_s,
            parts.clock.wall_s(),
        )
        if found.rows or found.events:
            parts.store.commit(reign.term, found.rows, found.events)
            log_events(found.events)
        for stranger in found.terminate:
            reign.actor.terminate(reign.term, stranger, f"{stranger.launch_id}/{stranger.id}")
        for job in found.unread[:SWEEP_POINTERS_MAX]:
            if now_s - reign.world.storage(job).pointer_asked_s >= parts.rhythm.pointer_every_s:
                reign.looks.read_pointer(snapshot.jobs[job])
        return read_snapshot(parts.store) if found.rows else snapshot

    def _sees_enough(self, reign: _Reign) -> bool:
        """Whether each region has answered once: before, a machine that the store has forgotten (it came
        from a backup) might be taken for one that does not exist. A region that keeps silent is Unknown."""
        if self._parts.clock.monotonic_s() - reign.begun_s > FIRST_LISTING_LIMIT_S:
            return True
        regions = [reign.world.region(cloud, name) for cloud, name in reign.looks.regions()]
        return reign.looks.knows_regions() and all(region.problem != NOT_LISTED_YET for region in regions)

    # leadership

    def _lead(self) -> _Reign | None:
        """Renews well before others may take over. Raises StoreError."""
        parts, now_s = self._parts, self._parts.clock.monotonic_s()
        if self._reign is not None and now_s - self._renewed_s < parts.leader_ttl_s / 3:
            return self._reign
        term = parts.store.lead(parts.holder, parts.leader_ttl_s)
        if term is None:
            self._lost("another controller leads")
            return None
        self._renewed_s = now_s
        if self._reign is None or self._reign.term != term:
            why = f"term {term.number} begins"
            event = Event(Kind.CONTROLLER_LEADS, why, data={"holder": term.holder})
            parts.store.commit(term, [], [event])
            log_events([event])
            self._reign = _Reign(parts, term)
        return self._reign

    def _lost(self, why: str) -> None:
        """Nothing more is done, and nothing more is told to the nodes."""
        if self._reign is None:
            return
        log.warning("this controller leads no more", why=why)
        self._reign = None
        for launch_id in self._parts.nodes.heard():
            self._parts.nodes.tell(launch_id, ())

    def _resign(self) -> None:
        reign, self._reign = self._reign, None
        if reign is None:
            return
        try:
            self._parts.store.resign(reign.term)
        except StoreError as error:
            log.warning("the leadership could not be given up; it ends by itself", problem=str(error))
