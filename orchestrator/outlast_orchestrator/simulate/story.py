"""Tells what happens in a world in words, line by line, for people who want to understand a seed."""

from __future__ import annotations

from collections.abc import Callable

from outlast.protocol.objects import POINTER_KEY
from outlast_orchestrator.core.events import Event
from outlast_orchestrator.core.types import Attempt, Instance, Job, Progress
from outlast_orchestrator.simulate.checkers.base import pointer_in
from outlast_orchestrator.simulate.history import (
    AgentBorn,
    Deleted,
    Fact,
    Fault,
    LaunchAnswered,
    LaunchAsked,
    Launched,
    Listed,
    MachineEnded,
    Noticed,
    PointerKnown,
    ProcessDied,
    StoreWrote,
    TerminateAsked,
    TrainerEnded,
    TrainerSaved,
    TrainerStarted,
    Wrote,
)

QUIET = ("/status/", "/logs/")


class Story:
    """A witness that writes one line for every fact that people can follow."""

    def __init__(self, write: Callable[[str], None], *, rows: bool = False) -> None:
        self._write = write
        self._rows = rows  # every row of the store too, not only its events

    def see(self, at_s: float, fact: Fact) -> None:
        for text in self._texts(fact):
            hours, rest = divmod(at_s, 3600.0)
            minutes, seconds = divmod(rest, 60.0)
            self._write(f"{int(hours):02d}:{int(minutes):02d}:{seconds:05.2f}  {text}")

    def _texts(self, fact: Fact) -> list[str]:
        if isinstance(fact, StoreWrote):
            return self._stored(fact)
        if isinstance(fact, Wrote):
            return [] if any(part in fact.key for part in QUIET) else [_wrote(fact)]
        if isinstance(fact, Listed):
            return []
        text = _of_trainer(fact) or _of_machine(fact)
        return [text] if text else []

    def _stored(self, fact: StoreWrote) -> list[str]:
        texts = [_event(fact.by, event) for event in fact.events]
        if self._rows:
            texts += [f"{fact.by} stores {_row(row)}" for row in fact.rows]
        return texts


def _event(by: str, event: Event) -> str:
    where = event.job or "controller"
    attempt = "" if event.attempt is None else f" g{event.attempt}"
    return f"[{by}] {where}{attempt} {event.kind.value}: {event.why}"


def _row(row: Attempt | Instance | Progress | Job) -> str:
    return repr(row)


def _wrote(fact: Wrote) -> str:
    if not fact.key.endswith("/" + POINTER_KEY):
        return f"{fact.by} wrote {fact.key} ({len(fact.body)} bytes)"
    pointer = pointer_in(fact.body)
    head = "nothing" if pointer.head is None else pointer.head.name
    return (
        f"{fact.by} moved the pointer of {pointer.job}: g{pointer.generation} seq {pointer.seq} "
        f"{pointer.state.value}, head {head}, {len(pointer.kept)} kept: {pointer.why}"
    )


def _of_trainer(fact: Fact) -> str:
    if isinstance(fact, TrainerStarted):
        return f"{fact.machine}: the trainer of {fact.job} g{fact.generation} starts after step {fact.step}"
    if isinstance(fact, TrainerSaved):
        kind = f"a {'final ' if fact.final else ''}{'BAD ' if fact.bad else ''}save"
        return f"{fact.machine}: the trainer of {fact.job} g{fact.generation} has {kind} of step {fact.step}"
    if isinstance(fact, TrainerEnded):
        how = "was killed" if fact.code is None else f"exits with {fact.code}"
        done = ", done" if fact.done else ", its state is lost" if fact.bad else ""
        return f"{fact.machine}: the trainer of {fact.job} g{fact.generation} {how} at {fact.step}{done}"
    return ""


def _of_machine(fact: Fact) -> str:
    if isinstance(fact, Fault):
        return f"*** {fact.kind}: {fact.text}"
    if isinstance(fact, LaunchAsked):
        pool = fact.request.offer.pool
        return f"{fact.by} asks for a machine for {fact.request.job} in {pool}: launch {fact.request.token}"
    if isinstance(fact, LaunchAnswered):
        return f"launch {fact.token}: {fact.answer}"
    if isinstance(fact, Launched):
        return f"{fact.machine} comes to be, for {fact.request.job} ({fact.request.token})"
    if isinstance(fact, TerminateAsked):
        return f"{fact.by} asks for the end of {fact.machine}"
    if isinstance(fact, MachineEnded):
        return f"{fact.machine} has ended: {fact.why}"
    if isinstance(fact, Noticed):
        when = "withdrawn" if fact.deadline_s is None else f"its end is at {fact.deadline_s:.0f} s"
        return f"{fact.machine} has a notice: {when}"
    if isinstance(fact, AgentBorn):
        return f"{fact.process} starts"
    if isinstance(fact, ProcessDied):
        return f"{fact.process} died: {fact.why}"
    if isinstance(fact, PointerKnown):
        return f"{fact.by} has read the pointer of {fact.job}"
    if isinstance(fact, Deleted):
        return f"{fact.by} deleted {fact.key}"
    return ""
