"""Every checker of a whole world: a new one is one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from outlast_orchestrator.simulate.checkers.base import Checker
from outlast_orchestrator.simulate.checkers.cause import Cause
from outlast_orchestrator.simulate.checkers.chain import Chain
from outlast_orchestrator.simulate.checkers.claims import Claims
from outlast_orchestrator.simulate.checkers.closing import Closing
from outlast_orchestrator.simulate.checkers.closure import Closure
from outlast_orchestrator.simulate.checkers.crashes import Crashes
from outlast_orchestrator.simulate.checkers.dead_first import DeadFirst
from outlast_orchestrator.simulate.checkers.dead_man import DeadMan
from outlast_orchestrator.simulate.checkers.double_action import DoubleAction
from outlast_orchestrator.simulate.checkers.fenced import Fenced
from outlast_orchestrator.simulate.checkers.finished import Finished
from outlast_orchestrator.simulate.checkers.forward import Forward
from outlast_orchestrator.simulate.checkers.gang_noticed import GangNoticedLoss
from outlast_orchestrator.simulate.checkers.gang_ready import GangReady
from outlast_orchestrator.simulate.checkers.gang_whole import GangWhole
from outlast_orchestrator.simulate.checkers.generations import Generations
from outlast_orchestrator.simulate.checkers.gone import GoneIsGone
from outlast_orchestrator.simulate.checkers.half_gang import HalfGang
from outlast_orchestrator.simulate.checkers.health import Health
from outlast_orchestrator.simulate.checkers.healthy import Healthy
from outlast_orchestrator.simulate.checkers.held import Held
from outlast_orchestrator.simulate.checkers.intent import Intent
from outlast_orchestrator.simulate.checkers.leaks import Leaks
from outlast_orchestrator.simulate.checkers.lease import Lease
from outlast_orchestrator.simulate.checkers.noticed import NoticedLoss
from outlast_orchestrator.simulate.checkers.one_way import OneWay
from outlast_orchestrator.simulate.checkers.one_writer import OneWriter
from outlast_orchestrator.simulate.checkers.overwrites import Overwrites
from outlast_orchestrator.simulate.checkers.pinned import Pinned
from outlast_orchestrator.simulate.checkers.read_first import ReadFirst
from outlast_orchestrator.simulate.checkers.records import Records
from outlast_orchestrator.simulate.checkers.references import References
from outlast_orchestrator.simulate.checkers.resume import Resume
from outlast_orchestrator.simulate.checkers.self_fencing import SelfFencing
from outlast_orchestrator.simulate.checkers.succeeded import Succeeded
from outlast_orchestrator.simulate.checkers.uncertain import Uncertain


def bucket_checkers() -> list[Checker]:
    """Those that need to see the bucket only."""
    return [
        Closure(),
        OneWriter(),
        Generations(),
        Forward(),
        Chain(),
        References(),
        OneWay(),
        Overwrites(),
        Claims(),
        Resume(),
        DeadFirst(),
    ]


def all_checkers(
    contact_s: Mapping[str, float],
    told_s: Mapping[str, float],
    able_since_s: Callable[[str], float],
    bytes_per_s: float,
    remembered: Callable[[str], int] = lambda _machine: 0,
) -> list[Checker]:
    """`contact_s`: each machine's last successful write; `told_s`: those to a controller;
    `able_since_s`: since when it can do its duty; `remembered`: the generation it prepared for."""
    return [
        *bucket_checkers(),
        Closing(contact_s),
        Lease(contact_s),
        Fenced(able_since_s),
        NoticedLoss(bytes_per_s),
        GangNoticedLoss(bytes_per_s),
        GangReady(remembered),
        GangWhole(),
        HalfGang(),
        SelfFencing(),
        GoneIsGone(),
        Leaks(),
        Records(),
        Uncertain(),
        Intent(),
        Cause(contact_s, told_s),
        Health(able_since_s),
        Healthy(contact_s),
        DoubleAction(),
        ReadFirst(),
        DeadMan(),
        Pinned(),
        Held(),
        Succeeded(),
        Finished(),
        Crashes(),
    ]
