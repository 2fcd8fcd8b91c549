"""Faults put into the real code on purpose: each must be caught by a checker within some seeds.

A mutant swaps what the world is given (a pure function, a port, a class of ours), in memory only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from outlast.bucket.outcomes import OwnVerdict, Rebase
from outlast.bucket.owner import PointerOwner
from outlast.protocol.messages import Command, CommandKind, Permission, WriterRef
from outlast.protocol.objects import Pointer, PointerState
from outlast.save.types import Draft
from outlast_orchestrator.core.actions import Action, Decision, Save, Tell
from outlast_orchestrator.core.decide import decide
from outlast_orchestrator.core.ports import Policy, Provider
from outlast_orchestrator.core.types import Asked, Instance, InstancePhase, LaunchRequest, Offer, Want
from outlast_orchestrator.core.view import JobView, RegionListing
from outlast_orchestrator.simulate.control import Variation


@dataclass(frozen=True)
class Mutant:
    name: str
    variation: Callable[[], Variation]
    seeds: int  # it must be caught within so many
    by: tuple[str, ...]  # the checkers of which one is to catch it


def seeing(change: Callable[[JobView], JobView]) -> Callable[[], Variation]:
    """The real decision, but it sees the world wrongly."""

    def wrong(view: JobView, policy: Policy) -> Decision:
        return decide(change(view), policy)

    return lambda: Variation(decide=wrong)


def doing(change: Callable[[JobView, Action], Action | None]) -> Callable[[], Variation]:
    """The real decision, but something else comes out of it."""

    def wrong(view: JobView, policy: Policy) -> Decision:
        decision = decide(view, policy)
        changed = [change(view, action) for action in decision.actions]
        return replace(decision, actions=tuple(action for action in changed if action is not None))

    return lambda: Variation(decide=wrong)


# what it sees


def one_absence_is_gone(view: JobView) -> JobView:
    return replace(view, instances=tuple(replace(m, absent_s=m.absent_s * 3) for m in view.instances))


def any_absence_counts(view: JobView) -> JobView:
    """Listings begun before the last sign of life, or within the lag of a fresh machine, count as well."""
    machines = tuple(replace(m, absent_s=tuple(1e12 for _ in m.absent_s)) for m in view.instances)
    return replace(view, instances=machines)


def a_minute_is_a_lease(view: JobView) -> JobView:
    return replace(view, limits=replace(view.limits, lease_s=30.0, lease_margin_s=0.0, silent_after_s=30.0))


def tokens_live_for_ever(view: JobView) -> JobView:
    return replace(view, limits=replace(view.limits, token_life_s=1e9))


# what it does


def claim_over_whatever_is_there(view: JobView, action: Action) -> Action | None:
    if not isinstance(action, Tell) or view.pointer.pointer is None:
        return action
    return replace(action, commands=tuple(_wide(c, view.pointer.pointer) for c in action.commands))


def _wide(command: Command, pointer: Pointer) -> Command:
    if command.kind is not CommandKind.RUN or command.permission is None:
        return command
    closed = (*command.permission.closed, WriterRef(pointer.generation, pointer.writer))
    return replace(command, permission=replace(command.permission, closed=closed))


def launch_before_save(_view: JobView, action: Action) -> Action | None:
    if isinstance(action, Save) and isinstance(action.row, Instance):
        fresh = action.row.phase is InstancePhase.LAUNCHING and action.row.asked is Asked.INTENDED
        return None if fresh else action
    return action


def a_new_token_at_every_save(_view: JobView, action: Action) -> Action | None:
    """An uncertain launch is tried again under a new token."""
    if isinstance(action, Save) and isinstance(action.row, Instance) and action.row.asked is Asked.UNSURE:
        row = action.row
        number = row.tries + 1
        request = replace(row.request, token=f"{row.launch_id}-{number}")
        return Save(replace(row, request=request, tries=number))
    return action


# how the cloud is read


class UnknownIsEmpty:
    """A provider that turns a region that can't be listed into one with nothing in it."""

    def __init__(self, real: Provider) -> None:
        self._real = real
        self.name = real.name

    def offers(self, want: Want) -> list[Offer]:
        return self._real.offers(want)

    def launch(self, request: LaunchRequest) -> None:
        self._real.launch(request)

    def regions(self) -> list[str]:
        return self._real.regions()

    def instances(self, region: str) -> RegionListing:
        return replace(self._real.instances(region), problem="")

    def terminate(self, instance: Instance) -> None:
        self._real.terminate(instance)

    def check(self) -> list[str]:
        return self._real.check()


LIFE = ("gone means gone", "no close without witnesses", "no relaunch without cause")
TRIES = "at most one uncertain launch try"
CLAIM = "no claim over a living attempt"
MUTANTS = (
    Mutant("one missed listing is gone", seeing(one_absence_is_gone), 60, LIFE),
    Mutant("a stale listing counts", seeing(any_absence_counts), 60, LIFE),
    Mutant("unknown as empty", lambda: Variation(provider=UnknownIsEmpty), 60, LIFE),
    Mutant("a minute is a lease", seeing(a_minute_is_a_lease), 20, LIFE),
    Mutant(
        "token resent after its life",
        seeing(tokens_live_for_ever),
        100,
        ("at most one uncertain launch try",),
    ),
    Mutant("claim over whatever is there", doing(claim_over_whatever_is_there), 40, (CLAIM,)),
    Mutant("launch before save", doing(launch_before_save), 3, ("intent before launch",)),
    Mutant(
        "new try after a time-out",
        doing(a_new_token_at_every_save),
        40,
        (TRIES, "gone means gone", "no instance is forgotten"),
    ),
)


# in the pointer's world


def anybody_is_closed(permission: Permission, pointer: Pointer | None) -> Permission:
    if pointer is None or pointer.state is not PointerState.RUNNING:
        return permission
    return replace(permission, closed=(*permission.closed, WriterRef(pointer.generation, pointer.writer)))


class PrunesFirst(PointerOwner):
    """Deletes what will leave `kept` before the write is applied that makes it leave."""

    def commit(self, draft: Draft) -> OwnVerdict | Rebase:
        pointer = self.pointer
        if pointer is not None and len(pointer.kept) >= 3:
            self._bucket.delete(pointer.kept[0].key)
        return super().commit(draft)
