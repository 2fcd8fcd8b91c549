"""What a controller stands on, and what belongs to one term of its leadership."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from outlast_orchestrator.controller.act import Actor, Retry
from outlast_orchestrator.controller.looks import Looks
from outlast_orchestrator.controller.lost import LostJobs
from outlast_orchestrator.controller.news import Troubles
from outlast_orchestrator.controller.node_settings import NodeSettings
from outlast_orchestrator.controller.observe import Observer
from outlast_orchestrator.controller.rhythm import Rhythm
from outlast_orchestrator.controller.schedule import Due
from outlast_orchestrator.controller.sweep import Adoption, Sweeper
from outlast_orchestrator.controller.world import World
from outlast_orchestrator.core.actions import Decision
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
from outlast_orchestrator.core.view import JobView, Limits

DAY_S = 86_400.0

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
    storage: str = ""  # where new jobs go
    restored: bool = False  # the store was just restored from a backup


class Reign:
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
        lost = LostJobs(store.owner(), clock, calls, parts.pointers, parts.storage, search=parts.restored)
        self.sweeper = Sweeper(self.world, store.owner(), adoption, lost)
        self.troubles = Troubles()
        self.marks = store.fact_marks()
