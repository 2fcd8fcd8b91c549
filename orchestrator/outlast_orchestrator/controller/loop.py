"""The tick: lead → observe → decide → act, for every job, each on its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

import structlog

from outlast_orchestrator.controller.act import Actor, Turn
from outlast_orchestrator.controller.log import log_events
from outlast_orchestrator.controller.news import facts
from outlast_orchestrator.controller.observe import Observer, Snapshot, read_snapshot
from outlast_orchestrator.controller.reign import DAY_S, Decide, Parts, Reign
from outlast_orchestrator.controller.schedule import PRICES, RETENTION, SWEEP
from outlast_orchestrator.controller.world import NOT_LISTED_YET
from outlast_orchestrator.core.errors import Deposed, StoreError
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.ports import Policy, Store, Term
from outlast_orchestrator.core.types import Job

__all__ = ["DAY_S", "Controller", "Decide", "Parts"]

WAIT_MIN_S = 0.02  # a burst of messages is one tick
WAIT_MAX_S = 0.5  # however long the last tick took
AGAIN_S = 1.0  # after trouble with the store, and while another controller leads
FIRST_LISTING_LIMIT_S = 20.0
SWEEP_POINTERS_MAX = 16  # read for one sweep at a time
TOGETHER_MAX = 64  # jobs in one transaction: what was decided first must not grow old before it is done

log = structlog.get_logger("outlast.controller")


class Turns:
    """Remembers of each job what was told of it last, and when it wants to be looked at."""

    def __init__(self, store: Store, decide: Decide, policies: Mapping[str, Policy]) -> None:
        self._store = store
        self._decide = decide
        self._policies = policies
        self._whys: dict[str, str] = {}
        self._broken: dict[str, str] = {}
        self.wakes_s: dict[str, float] = {}

    def take(
        self, term: Term, observer: Observer, actor: Actor, snapshot: Snapshot, keep: Callable[[], None]
    ) -> None:
        """Raises Deposed, from `keep` too. Whatever else goes wrong with a job stays with it."""
        for job_id, problem in snapshot.damaged.items():
            self.tell_broken(term, job_id, problem)
        active = snapshot.active()
        for begin in range(0, len(active), TOGETHER_MAX):
            keep()
            decided = []
            for job in active[begin : begin + TOGETHER_MAX]:
                turn = self._decided(term, observer, actor, job, snapshot)
                if turn is not None:
                    decided.append(turn)
            for turn in self._saved(term, actor, decided):
                self._carry_out(term, actor, turn)
        known = {job.id for job in active}
        self.wakes_s = {job: at_s for job, at_s in self.wakes_s.items() if job in known}

    def _decided(
        self, term: Term, observer: Observer, actor: Actor, job: Job, snapshot: Snapshot
    ) -> Turn | None:
        self.wakes_s.pop(job.id, None)
        try:
            view = observer.view(job, snapshot)
            return actor.prepare(term, Turn(job, self._decide(view, self._policies[job.policy])))
        except Deposed:
            raise
        except Exception as error:  # noqa: BLE001  # of whatever kind: the other jobs go on
            self._failed(term, job, error)
            return None

    def _saved(self, term: Term, actor: Actor, turns: Sequence[Turn]) -> Iterator[Turn]:
        """Those that are durable: all at once, or, when that fails, each that can be saved by itself."""
        try:
            actor.save(term, turns)
        except Deposed:
            raise
        except Exception as error:  # noqa: BLE001  # of one of them, and it is not known of which
            if len(turns) == 1:
                self._failed(term, turns[0].job, error)
                return
            for turn in turns:
                yield from self._saved(term, actor, [turn])
            return
        yield from turns

    def _carry_out(self, term: Term, actor: Actor, turn: Turn) -> None:
        job, decision = turn.job, turn.decision
        try:
            actor.carry_out(term, turn)
        except Deposed:
            raise
        except Exception as error:  # noqa: BLE001  # as above
            self._failed(term, job, error)
            return
        self._broken.pop(job.id, None)
        if decision.wake_s is not None:
            self.wakes_s[job.id] = decision.wake_s
        if self._whys.get(job.id) != decision.why:
            self._whys[job.id] = decision.why
            log.info("why", job=job.id, name=job.name, why=decision.why)

    def _failed(self, term: Term, job: Job, error: Exception) -> None:
        """Told once; the job is looked at again with every tick, and nothing of it is changed."""
        text = f"{type(error).__name__}: {error}"
        if self._broken.get(job.id) != text:
            log.error("a job could not be looked after", job=job.id, problem=text, exc_info=error)
            self.tell_broken(term, job.id, text)

    def tell_broken(self, term: Term, job: str, text: str) -> None:
        if self._broken.get(job) == text:
            return
        self._broken[job] = text
        log.error("a job is not looked after", job=job, problem=text)
        why = f"the controller can't look after this job: {text}; what runs goes on, the log has more"
        why = why if job else text
        try:
            self._store.commit(term, [], [Event(Kind.TELL, why, job)])
        except StoreError as trouble:
            log.error("an event could not be written", job=job, problem=str(trouble))


class Controller:
    def __init__(self, parts: Parts, alarm: threading.Event) -> None:
        self._parts = parts
        self._alarm = alarm  # set by whoever has news for the tick
        self._stopped = threading.Event()
        self._reign: Reign | None = None
        self._renewed_s = 0.0
        self._turns = Turns(parts.store, parts.decide, parts.policies)

    # from other threads

    def leading(self) -> bool:
        return self._reign is not None

    def next_wake_s(self, job: str) -> float | None:
        """Seconds until that job is looked at on its own account."""
        wake_s = self._turns.wakes_s.get(job)
        return None if wake_s is None else max(0.0, wake_s - self._parts.clock.monotonic_s())

    def stop(self) -> None:
        """Ends `run` after the tick that is under way. Running jobs are left alone."""
        self._stopped.set()
        self._alarm.set()

    # the loop

    def run(self) -> None:
        while not self._stopped.is_set():
            begun_s = self._parts.clock.monotonic_s()
            try:
                wait_s = self.tick()
            except Exception:
                log.exception("a tick failed in an unforeseen way")
                wait_s = AGAIN_S
            pause_s = self._parts.clock.monotonic_s() - begun_s  # half of the time is for the API
            self._alarm.wait(wait_s)
            self._stopped.wait(min(max(WAIT_MIN_S, pause_s), WAIT_MAX_S))
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

    def _look(self, reign: Reign) -> float:
        snapshot = reign.observer.look()
        self._write_news(reign, snapshot)
        snapshot = self._periodic(reign, snapshot)
        if not self._sees_enough(reign):
            return 0.1
        self._turns.take(reign.term, reign.observer, reign.actor, snapshot, self._keep)
        now_s, tick_s = self._parts.clock.monotonic_s(), self._parts.rhythm.tick_s
        soonest_s = min(self._turns.wakes_s.values(), default=now_s + tick_s)
        return min(max(soonest_s - now_s, 0.0), tick_s)

    # what belongs to the controller as a whole

    def _write_news(self, reign: Reign, snapshot: Snapshot) -> None:
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
            if until:
                parts.nodes.facts_recorded(launch_id, one.report.boot, until)

    def _periodic(self, reign: Reign, snapshot: Snapshot) -> Snapshot:
        parts = self._parts
        if parts.due.take(PRICES):
            reign.world.prices_are_old()
        if parts.due.take(RETENTION):
            parts.store.forget_events(reign.term, parts.clock.wall_s() - parts.keep_events_s)
        if reign.looks.knows_regions() and parts.due.take(SWEEP):
            reign.looks.list_regions(0.0)
        return self._sweep(reign, snapshot) if reign.sweeper.due() else snapshot

    def _sweep(self, reign: Reign, snapshot: Snapshot) -> Snapshot:
        parts, now_s = self._parts, self._parts.clock.monotonic_s()
        found = reign.sweeper.look(
            {record.launch_id: record for record in snapshot.records()},
            lambda: {record.launch_id: record for record in parts.store.instances()},
            snapshot.jobs,
            now_s,
            parts.clock.wall_s(),
            snapshot.damaged,
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

    def _sees_enough(self, reign: Reign) -> bool:
        """Whether each region has answered once: before, a machine that the store has forgotten (it came
        from a backup) might be taken for one that does not exist. A region that keeps silent is Unknown."""
        if self._parts.clock.monotonic_s() - reign.begun_s > FIRST_LISTING_LIMIT_S:
            return True
        regions = [reign.world.region(cloud, name) for cloud, name in reign.looks.regions()]
        return reign.looks.knows_regions() and all(region.problem != NOT_LISTED_YET for region in regions)

    # leadership

    def _lead(self) -> Reign | None:
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
            self._reign = Reign(parts, term)
        return self._reign

    def _keep(self) -> None:
        """In the middle of a long tick too, so that nobody takes over while it works. Raises Deposed."""
        reign = self._reign
        if self._lead() is not reign:
            raise Deposed("the leadership was lost in the middle of a tick")
        if reign is not None:
            reign.observer.pass_time()

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
