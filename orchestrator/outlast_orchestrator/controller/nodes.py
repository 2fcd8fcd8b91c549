"""What agents said and what they are told: the meeting place of the tick and the API, in memory only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from outlast.protocol.limits import LEASE_S
from outlast.protocol.messages import Command, Reply, Report
from outlast_orchestrator.controller.rhythm import Rhythm
from outlast_orchestrator.core.ports import Clock
from outlast_orchestrator.core.view import NEVER_S, Heard

BOOTS_REMEMBERED = 64  # older boots of one agent, to know a report that comes late


@dataclass
class _Node:
    """One instance's agent. Guarded by the registry's lock."""

    report: Report | None = None
    life_s: float = NEVER_S
    silent_s: float = 0.0
    closed: bool = False
    state_s: float = NEVER_S
    boots: list[str] = field(default_factory=list)  # earlier ones: a report of theirs is late
    facts_until: dict[str, int] = field(default_factory=dict)  # by boot
    commands: tuple[Command, ...] = ()
    watchers: dict[int, Callable[[], None]] = field(default_factory=dict)
    heard: Heard | None = None  # what was last given out, until something of it changes

    def as_heard(self) -> Heard | None:
        if self.heard is None and self.report is not None:
            self.heard = Heard(self.report, self.life_s, self.silent_s, self.closed, self.state_s)
        return self.heard


class NodeRegistry:
    """Implements `core.ports.Nodes`. Every method is short and safe from any thread."""

    def __init__(
        self,
        clock: Clock,
        wake: Callable[[], None] = lambda: None,
        gap_max_s: float = Rhythm.gap_max_s,
        lease_s: float = LEASE_S,
    ) -> None:
        """`lease_s` goes into every reply: an agent lives by the newest one that it was told."""
        self._lease_s = lease_s
        self._clock = clock
        self._gap_max_s = gap_max_s
        self._wake = wake
        self._lock = threading.Lock()
        self._nodes: dict[str, _Node] = {}
        self._accounted_s: float | None = None
        self._watchers_made = 0

    # the tick's side

    def heard(self, launch_ids: Iterable[str] | None = None) -> dict[str, Heard]:
        with self._lock:
            found: dict[str, Heard] = {}
            for launch_id in self._nodes if launch_ids is None else launch_ids:
                node = self._nodes.get(launch_id)
                heard = None if node is None else node.as_heard()
                if heard is not None:
                    found[launch_id] = heard
            return found

    def account(self, readable: bool, unreadable: Collection[str] = ()) -> None:
        now_s = self._clock.monotonic_s()
        with self._lock:
            since_s, self._accounted_s = self._accounted_s, now_s
            gap_s = 0.0 if since_s is None else now_s - since_s
            if not readable or not 0.0 < gap_s <= self._gap_max_s:
                return
            for launch_id, node in self._nodes.items():
                if launch_id not in unreadable:
                    node.silent_s += min(gap_s, now_s - node.life_s)
                    node.heard = None

    def sign_of_life(self, launch_id: str, report: Report) -> None:
        with self._lock:
            self._hear(self._node(launch_id), report)

    def tell(self, launch_id: str, commands: tuple[Command, ...]) -> None:
        with self._lock:
            node = self._node(launch_id)
            if node.commands == commands:
                return
            node.commands = commands
            watchers = list(node.watchers.values())
        for changed in watchers:
            changed()

    def facts_recorded(self, launch_id: str, boot: str, until: int) -> None:
        with self._lock:
            marks = self._node(launch_id).facts_until
            marks[boot] = max(until, marks.get(boot, 0))

    def forget(self, launch_id: str) -> None:
        with self._lock:
            self._nodes.pop(launch_id, None)

    # the API's side

    def receive(self, report: Report) -> Reply:
        with self._lock:
            node = self._node(report.instance)
            before = node.report
            changed = self._hear(node, report) and _worth_a_look(before, report, node)
            reply = self._reply(node, report.boot)
        if changed:
            self._wake()
        return reply

    def told(self, launch_id: str) -> Reply:
        with self._lock:
            node = self._nodes.get(launch_id) or _Node()
            return self._reply(node, node.report.boot if node.report is not None else "")

    def watch(self, launch_id: str, changed: Callable[[], None]) -> Callable[[], None]:
        with self._lock:
            self._watchers_made += 1
            number = self._watchers_made
            self._node(launch_id).watchers[number] = changed

        def stop() -> None:
            with self._lock:
                node = self._nodes.get(launch_id)
                if node is not None:
                    node.watchers.pop(number, None)

        return stop

    def connected(self, launch_id: str) -> None:
        """A request of the node has come: as good as a report for knowing that it lives."""
        with self._lock:
            self._lives(self._node(launch_id))

    def disconnected(self, launch_id: str) -> None:
        with self._lock:
            node = self._node(launch_id)
            node.closed, node.heard = True, None
        self._wake()

    # under the lock

    def _node(self, launch_id: str) -> _Node:
        node = self._nodes.get(launch_id)
        return self._nodes.setdefault(launch_id, _Node()) if node is None else node

    def _reply(self, node: _Node, boot: str) -> Reply:
        return Reply(commands=node.commands, lease_s=self._lease_s, facts_until=node.facts_until.get(boot, 0))

    def _lives(self, node: _Node) -> None:
        node.life_s = self._clock.monotonic_s()
        node.silent_s = 0.0
        node.closed = False
        node.heard = None

    def _hear(self, node: _Node, report: Report) -> bool:
        """False when the report is older than one that was heard: it proves nothing about now."""
        last = node.report
        if last is not None:
            if report.boot in node.boots or (report.boot == last.boot and report.seq < last.seq):
                return False
            if report.boot != last.boot:
                node.boots = [*node.boots, last.boot][-BOOTS_REMEMBERED:]
        self._lives(node)
        if last is None or (last.generation, last.state) != (report.generation, report.state):
            node.state_s = node.life_s
        node.report, node.heard = report, None
        return True


def _worth_a_look(before: Report | None, now: Report, node: _Node) -> bool:
    """Whether the tick should run at once: anything but the trainer's progress has changed."""
    if before is None or any(fact.id > node.facts_until.get(now.boot, 0) for fact in now.facts):
        return True
    return _essence(before) != _essence(now)


def _essence(report: Report) -> tuple[object, ...]:
    notice = None if report.notice is None else report.notice.kind
    place = (report.boot, report.generation, report.attempt, report.writer)
    return (*place, report.state, notice, report.exit_code, report.failure, report.save.durable)
