"""Carries a decision out: rows and events first, then calls, then what the nodes are told.

The order is the promise: an intent is durable before its side effect, a permission is given only after
what it rests on is durable, and a controller that no longer leads does nothing at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from outlast.protocol.values import replace
from outlast_orchestrator.controller.log import log_events
from outlast_orchestrator.controller.looks import Looks
from outlast_orchestrator.controller.node_settings import NodeSettings
from outlast_orchestrator.controller.world import World
from outlast_orchestrator.core.actions import (
    Action,
    Decision,
    Hold,
    Install,
    Launch,
    ListRegion,
    Log,
    ReadPointer,
    Rewish,
    Save,
    TakeGeneration,
    Tell,
    Terminate,
    Unblock,
)
from outlast_orchestrator.core.errors import BucketError, Deposed, ProviderError, StoreError, Transient
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.ports import (
    Calls,
    Clock,
    Nodes,
    Pointers,
    Provider,
    Remote,
    Row,
    Store,
    Term,
)
from outlast_orchestrator.core.tokens import hash_token, node_token
from outlast_orchestrator.core.types import Instance, InstancePhase, Job
from outlast_orchestrator.core.view import Call, CallDone, CallKind

_Port = TypeVar("_Port", Provider, Remote)

ATTEMPT_ID_BYTES = 8
log = structlog.get_logger("outlast.controller")


@dataclass(frozen=True)
class Retry:
    """How often a call that is safe to repeat (same token) is repeated at once, on Transient only."""

    tries_max: int = 3
    wait_first_s: float = 0.5
    wait_max_s: float = 4.0


@dataclass(frozen=True)
class Turn:
    """What was decided for a job."""

    job: Job
    decision: Decision


class Actor:
    def __init__(
        self,
        world: World,
        clock: Clock,
        store: Store,
        nodes: Nodes,
        calls: Calls,
        looks: Looks,
        pointers: Pointers,
        providers: Mapping[str, Provider],
        remotes: Mapping[str, Remote],
        node: NodeSettings,
        sleep: Callable[[float], None],
        retry: Retry = Retry(),  # frozen
    ) -> None:
        self._world = world
        self._clock = clock
        self._store = store
        self._nodes = nodes
        self._calls = calls
        self._looks = looks
        self._pointers = pointers
        self._providers = providers
        self._remotes = remotes
        self._node = node
        self._sleep = sleep
        self._retry = retry

    def prepare(self, term: Term, turn: Turn) -> Turn:
        """What is to be saved and done, in full. Raises StoreError and Deposed."""
        for action in turn.decision.actions:
            if isinstance(action, Rewish):
                self._check(term)
                self._store.wish(action.job, Event(Kind.JOB_WANTED, action.why, turn.job.id))
        if not any(isinstance(action, (Launch, Save)) for action in turn.decision.actions):
            return turn
        actions = tuple(self._complete(action) for action in turn.decision.actions)
        return Turn(turn.job, replace(turn.decision, actions=actions))

    def save(self, term: Term, turns: Sequence[Turn]) -> None:
        """All or nothing. Raises StoreError and Deposed; then no side effect of these has been begun."""
        rows: list[Row] = []
        events: list[Event] = []
        unblock: list[str] = []
        for turn in turns:
            actions = turn.decision.actions
            rows += self._rows(turn.decision)
            events += [action.event for action in actions if isinstance(action, Log)]
            unblock += [action.scope for action in actions if isinstance(action, Unblock)]
        if rows or events or unblock:
            self._store.commit(term, rows, events, unblock)
            log_events(events)

    def carry_out(self, term: Term, turn: Turn) -> None:
        """After it was saved."""
        job, decision = turn.job, turn.decision
        self._world.done.pop(job.id, None)  # what this decision knew, it has dealt with
        for action in decision.actions:
            if isinstance(action, (Save, Log, Tell)):
                continue
            if isinstance(action, Launch):
                self._launch(term, action.instance)
            elif isinstance(action, Terminate):
                self.terminate(term, action.instance, action.instance.launch_id)
            elif isinstance(action, Install):
                self._install(term, job, action.instance)
            elif isinstance(action, TakeGeneration):
                self._take_generation(term, job, action.at_least)
            elif isinstance(action, Hold):
                self._hold(term, job, action.name)
            elif isinstance(action, ReadPointer):
                self._looks.read_pointer(job)
            elif isinstance(action, ListRegion):
                self._looks.list_region(action.cloud, action.region)
        for action in decision.actions:
            if isinstance(action, Tell):
                self._nodes.tell(action.launch_id, action.commands)

    # rows and events

    def _complete(self, action: Action) -> Action:
        """What a machine boots with is part of the exact request, and saved with the intent: a repeat by a
        controller with other settings, or of another version, must still be the same request."""
        if isinstance(action, Launch):
            return Launch(self._with_user_data(action.instance))
        row = action.row if isinstance(action, Save) else None
        if isinstance(row, Instance) and row.phase is InstancePhase.LAUNCHING:
            return Save(self._with_user_data(row))
        return action

    def _with_user_data(self, record: Instance) -> Instance:
        request = record.request
        if request.user_data:
            return record
        return replace(record, request=replace(request, user_data=self._node.user_data(request)))

    def _rows(self, decision: Decision) -> list[Row]:
        rows: list[Row] = [action.row for action in decision.actions if isinstance(action, Save)]
        for action in decision.actions:
            if isinstance(action, Install):
                rows = self._with_token(rows, action.instance)
        return rows

    def _with_token(self, rows: Sequence[Row], instance: Instance) -> list[Row]:
        """The hash of the node's token is in the store before the node can use the token."""
        token_hash = hash_token(node_token(self._node.key, instance.launch_id))
        mine = [r for r in rows if isinstance(r, Instance) and r.launch_id == instance.launch_id]
        newest = mine[-1] if mine else instance
        if newest.token_hash == token_hash:
            return list(rows)
        return [*(row for row in rows if row not in mine), replace(newest, token_hash=token_hash)]

    # calls

    def _launch(self, term: Term, instance: Instance) -> None:
        """One try: between two, the decision has to know that the first one's outcome is open."""
        provider = self._providers.get(instance.offer.cloud)
        call = Call(CallKind.LAUNCH, instance.request.token)
        self._start(term, call, provider, lambda cloud: cloud.launch(instance.request), tries_max=1)

    def terminate(self, term: Term, instance: Instance, key: str) -> None:
        provider = self._providers.get(instance.offer.cloud)
        self._start(term, Call(CallKind.TERMINATE, key), provider, lambda cloud: cloud.terminate(instance))

    def _install(self, term: Term, job: Job, instance: Instance) -> None:
        remote = self._remotes.get(instance.offer.cloud)
        config = self._node.config(job, instance)
        call = Call(CallKind.INSTALL, instance.launch_id)
        self._start(term, call, remote, lambda hands: hands.install(instance, config))

    def _take_generation(self, term: Term, job: Job, at_least: int) -> None:
        """Under the same random id until a number has come back: a repeat finds what it took before."""
        storage = self._world.storage(job.id)
        storage.attempt_id = attempt = storage.attempt_id or self._clock.token(ATTEMPT_ID_BYTES)
        call, take = Call(CallKind.GENERATION, job.id), self._pointers.take_generation
        self._in_bucket(term, call, lambda: {"generation": take(job, at_least, attempt)})

    def _hold(self, term: Term, job: Job, name: str) -> None:
        hold = self._pointers.hold
        self._in_bucket(term, Call(CallKind.HOLD, job.id), lambda: {"name": hold(job, name)})

    def _in_bucket(self, term: Term, call: Call, write: Callable[[], dict[str, Any]]) -> None:
        def run() -> CallDone:
            self._check(term)
            return CallDone(call, **write(), ended_s=self._clock.monotonic_s())

        self._calls.start(call, lambda: self._guarded(call, run))

    def _start(
        self,
        term: Term,
        call: Call,
        port: _Port | None,
        use: Callable[[_Port], None],
        tries_max: int | None = None,
    ) -> None:
        def run() -> CallDone:
            if port is None:
                raise LookupError("its cloud is not configured here any more: configure it again")
            for attempt in self._retrying(tries_max or self._retry.tries_max):
                with attempt:
                    self._check(term)  # before every try: it may have waited
                    use(port)
            return CallDone(call, ended_s=self._clock.monotonic_s())

        self._calls.start(call, lambda: self._guarded(call, run))

    def _retrying(self, tries_max: int) -> Retrying:
        return Retrying(
            stop=stop_after_attempt(tries_max),
            wait=wait_exponential(self._retry.wait_first_s, self._retry.wait_max_s),
            retry=retry_if_exception_type(Transient),
            sleep=self._sleep,
            reraise=True,
        )

    def _check(self, term: Term) -> None:
        if not self._store.leads(term):
            raise Deposed(f"term {term.number} is over: nothing was done")

    def _guarded(self, call: Call, run: Callable[[], CallDone]) -> CallDone:
        """Turns whatever happens in a call's thread into its outcome."""
        try:
            return run()
        except ProviderError as error:
            return CallDone(call, error=error, ended_s=self._clock.monotonic_s())
        except (Deposed, StoreError, BucketError, LookupError) as error:
            return CallDone(call, problem=str(error), ended_s=self._clock.monotonic_s())
        except Exception as error:
            log.exception("a call failed in an unforeseen way", call=call.kind.value, key=call.key)
            problem = f"{type(error).__name__}: {error}"
            return CallDone(call, problem=problem, ended_s=self._clock.monotonic_s())
