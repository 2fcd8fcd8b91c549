"""The working copy of one decision: the rules write on it in turn, and it ends as a Decision. Pure.

It lives for one call of `decide` and is never seen outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from outlast.protocol.values import replace
from outlast_orchestrator.core.actions import Action, Decision, Log, Save
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.types import (
    Attempt,
    AttemptPhase,
    Block,
    Instance,
    InstancePhase,
    JobState,
    Progress,
)
from outlast_orchestrator.core.view import Call, CallKind, InstanceView, JobView

IDS_KEPT = 2  # fresh ids that a gang's launches leave to the rest of the decision


class Sheet:
    """Rows as the rules so far have made them, and what they asked for."""

    def __init__(self, view: JobView) -> None:
        self.view = view
        self.progress: Progress = view.progress
        self._attempts: dict[int, Attempt] = {a.generation: a for a in view.attempts}
        # As they were found, until an attempt changes.
        self._open: tuple[Attempt, ...] | None = None
        self._claimed: Attempt | None = None
        self._unclaimed: Attempt | None = None
        self._written = False  # a row of an attempt or a machine was
        self.machines: dict[str, InstanceView] = {m.record.launch_id: m for m in view.instances}
        self.blocks: dict[str, Block] = {b.scope: b for b in view.blocks}
        self.events: list[Event] = []
        self.calls: list[Action] = []
        self.tells: list[Action] = []
        self.waiting_for = ""  # what planning is waiting for, for the job's `why`
        self._dice = list(view.dice)
        self._wake_s: float | None = None

    # rows

    @property
    def attempts(self) -> Mapping[int, Attempt]:
        """By generation; `put_attempt` changes them."""
        return self._attempts

    def put_attempt(self, attempt: Attempt) -> Attempt:
        self._attempts[attempt.generation] = attempt
        self._open, self._written = None, True
        return attempt

    def set_progress(self, **changes: Any) -> None:
        self.progress = replace(self.progress, **changes)

    def set_attempt(self, attempt: Attempt, **changes: Any) -> Attempt:
        return self.put_attempt(replace(attempt, **changes))

    def set_instance(self, launch_id: str, **changes: Any) -> Instance:
        machine, self._written = self.machines[launch_id], True
        record = replace(machine.record, **changes)
        self.machines[launch_id] = replace(machine, record=record)
        return record

    def add_instance(self, record: Instance) -> None:
        self.machines[record.launch_id], self._written = InstanceView(record), True

    # questions

    def open_attempts(self) -> tuple[Attempt, ...]:
        """The oldest first."""
        return self._find_open() if self._open is None else self._open

    def claimed(self) -> Attempt | None:
        """The open attempt that the pointer names."""
        if self._open is None:
            self._find_open()
        return self._claimed

    def unclaimed(self) -> Attempt | None:
        """The newest open attempt that has not claimed, abandoned ones included."""
        if self._open is None:
            self._find_open()
        return self._unclaimed

    def _find_open(self) -> tuple[Attempt, ...]:
        found = [a for a in self._attempts.values() if a.phase is not AttemptPhase.CLOSED]
        if len(found) > 1:
            found.sort(key=_generation)
        self._claimed = self._unclaimed = None
        for attempt in found:  # the newest one of each kind stays
            if attempt.claimed:
                self._claimed = attempt
            else:
                self._unclaimed = attempt
        self._open = tuple(found)
        return self._open

    def last_closed(self) -> Attempt | None:
        closed = [a for a in self._attempts.values() if not a.open]
        return max(closed, key=_generation, default=None)

    def asked_at(self) -> float:
        """When a person last wanted something of this job."""
        return max(self.view.job.created_at, self.progress.wish_at)

    def machines_of(self, attempt: Attempt) -> list[InstanceView]:
        """Its machines that are not gone."""
        found: list[InstanceView] = []
        for launch in attempt.launches:
            machine = self.machines.get(launch)
            if machine is not None and machine.record.phase is not InstancePhase.GONE:
                found.append(machine)
        return found

    def in_flight(self, kind: CallKind, key: str) -> bool:
        return bool(self.view.in_flight) and Call(kind, key) in self.view.in_flight

    def fresh_id(self) -> str:
        """A random id. The view brings enough for one decision."""
        return self._dice.pop(0)

    def has_ids(self) -> bool:
        """Enough for one more launch, and for what the rules after it need."""
        return len(self._dice) > IDS_KEPT

    # what is asked for

    def log(self, kind: Kind, why: str, attempt: Attempt | None = None, **data: object) -> None:
        generation = None if attempt is None else attempt.generation
        text = {key: str(value) for key, value in data.items()}
        self.events.append(Event(kind, why, self.view.job.id, generation, data=text))

    def call(self, action: Action) -> None:
        if action not in self.calls:
            self.calls.append(action)

    def wake_in(self, seconds: float) -> None:
        at_s = self.view.now_s + max(0.0, seconds)
        if self._wake_s is None or at_s < self._wake_s:
            self._wake_s = at_s

    def become(self, state: JobState, why: str) -> None:
        """The job's state and its reason; an event only when the state changes."""
        if self.progress.state is not state:
            self.log(Kind.JOB_STATE, why, state=state.value, before=self.progress.state.value)
            self.set_progress(state=state, why=why, since=self.view.now_at)
        elif self.progress.why != why:
            self.set_progress(why=why)

    def decision(self) -> Decision:
        """Rows that changed, then events, calls and what the nodes are told."""
        view = self.view
        rows: list[Progress | Attempt | Instance | Block] = []
        if _differs(self.progress, view.progress):
            rows.append(self.progress)
        if self._written:
            before = {a.generation: a for a in view.attempts}
            rows += [a for g, a in sorted(self._attempts.items()) if _differs(a, before.get(g))]
            records = {m.record.launch_id: m.record for m in view.instances}
            rows += [m.record for k, m in sorted(self.machines.items()) if _differs(m.record, records.get(k))]
        if self.blocks:
            blocks = {b.scope: b for b in view.blocks}
            rows += [b for k, b in sorted(self.blocks.items()) if _differs(b, blocks.get(k))]
        actions: list[Action] = [Save(row) for row in rows]
        actions += [Log(event) for event in self.events]
        return Decision((*actions, *self.calls, *self.tells), self.progress.why, self._wake_s)


def _generation(attempt: Attempt) -> int:
    return attempt.generation


def _differs(row: object, before: object) -> bool:
    """Most rows of most decisions are still the very same object."""
    return row is not before and row != before
