"""All that can happen next in a state of the model: who may do what, and what becomes of it.

What the adversary may do: lose the reply of any operation (a write then is on its way, and arrives at any
later time or never), let an actor die, and freeze one for longer than the lease. A freeze needs no state of
its own: between any two operations anything may happen anyhow, so a frozen actor is one that is not run for
a while, and the budget counts how often the controller may close somebody who is alive.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from tests.model.attempt import Actor, Attempt, Note
from tests.model.casts import FOUNDER_SAVES, Cast
from tests.model.controller import Control, Scene, answer, moves
from tests.model.fresh import FreshClaims
from tests.model.minds import Minds
from tests.model.objects import (
    CONDITIONAL,
    READS,
    UNSURE,
    WRITES,
    Objects,
    Reply,
    Request,
    perform,
    pointer_in,
    pointer_of,
    version_of,
)
from tests.model.rules import Past, broken_closure, broken_note, broken_write, past_after
from tests.model.states import Action, Next, Numbers, State

from outlast.protocol.objects import POINTER_KEY


class _Outcome(NamedTuple):
    bucket: int
    node: int
    past: int
    reply: Reply
    notes: tuple[Note, ...]
    problem: str


class World:
    """The rules of one cast; its states are small tuples of numbers."""

    def __init__(self, cast: Cast, lost: int, freezes: int, deaths: int, minds: Minds | None = None) -> None:
        self.cast = cast
        self.minds = minds or Minds()
        self.fresh = FreshClaims()
        self.buckets: list[Objects] = []
        self._bucket_numbers: dict[frozenset[tuple[str, bytes]], int] = {}
        self._bucket_problems: list[str] = []
        self.requests = Numbers[tuple[Request, str]]()  # with its sender
        self.controls = Numbers[Control]()
        self.pasts = Numbers[Past]()
        self._outcomes: dict[tuple[int, int, int], _Outcome] = {}
        self._writers = {actor.name: actor.writer for actor in cast.actors}
        self._budget = (lost, freezes, deaths)

    def start(self) -> tuple[State, list[Next]]:
        """The first state, and the prelude to it: the founder claims and saves, and goes on from there."""
        nodes = tuple(self.minds.born(actor) for actor in self.cast.actors)
        control = self.controls.of(Control(forgets=self.cast.forgets))
        state = State(self._bucket({}), nodes, control, self.pasts.of(Past()), (), 0, 0, 0)
        prelude: list[Next] = []
        while not self._is_founded(state):
            prelude.append(next(self._acts(state, 0)))
            state = prelude[-1].state
            if prelude[-1].problem:
                break
        lost, freezes, deaths = self._budget
        return state._replace(lost=lost, freezes=freezes, deaths=deaths), prelude

    def _is_founded(self, state: State) -> bool:
        node = self.minds.nodes[state.nodes[0]]
        if self.cast.begun == "over" or not isinstance(node.actor, Attempt):
            return node.request is None
        first = self.cast.actors[0]
        assert isinstance(first, Attempt)
        left = first.saves - FOUNDER_SAVES
        return node.actor.phase in ("upload", "close") and node.actor.saves <= left

    def next(self, state: State) -> Iterator[Next]:
        for place in range(len(state.nodes)):
            yield from self._acts(state, place)
        yield from self._arrivals(state)
        yield from self._deaths(state)
        yield from self._controller(state)

    # numbers for what is large

    def _bucket(self, objects: Objects) -> int:
        key = frozenset(objects.items())
        number = self._bucket_numbers.get(key)
        if number is None:
            number = self._bucket_numbers[key] = len(self.buckets)
            self.buckets.append(objects)
            self._bucket_problems.append(broken_closure(objects) or self.fresh.broken(objects))
        return number

    # actors

    def _acts(self, state: State, place: int) -> Iterator[Next]:
        request = self.minds.requests[state.nodes[place]]
        if request is None:
            return
        name = self.cast.actors[place].name
        if request.method in WRITES or request.method in READS:
            found = self._outcome(state, place, request)
            after = self._with_node(state, place, found.node)._replace(bucket=found.bucket, past=found.past)
            after = self._heard(after, found.notes, name)
            if found.bucket != state.bucket:
                after = self._settled(after)
            yield Next(Action("does", name, request, found.reply, found.notes), after, found.problem)
            if state.lost:
                yield from self._loses(state, place, request)
            return
        reply, control = answer(self._scene(state), request)
        if reply is not None:
            step = self.minds.told(state.nodes[place], reply)
            after = self._with_node(state, place, step.node)._replace(control=self.controls.of(control))
            problem = self._believed(step.notes, name, state.bucket, state.past)
            after = self._heard(after, step.notes, name)
            yield Next(Action("asks", name, request, reply, step.notes), after, problem)

    def _loses(self, state: State, place: int, request: Request) -> Iterator[Next]:
        """The sender is told nothing. A conditional write is on its way; of the others see below.

        An upload, a deletion or a pin that arrives late is what a frozen sender does late, and writes or
        deletes the same again: it is enough that such a request took place at once, or never.
        """
        name = self.cast.actors[place].name
        step = self.minds.told(state.nodes[place], UNSURE)
        after = self._with_node(state, place, step.node)._replace(lost=state.lost - 1)
        after = self._heard(after, step.notes, name)
        problem = self._believed(step.notes, name, state.bucket, state.past)
        if request.method in CONDITIONAL:
            number = self.requests.of((request, name))
            after = self._settled(after._replace(flight=tuple(sorted((*after.flight, number)))))
        elif request.method in WRITES:
            objects, reply = perform(self.buckets[state.bucket], request)
            bucket, past, wrong = self._changed(state.bucket, objects, state.past, request, name)
            applied = self._settled(after._replace(bucket=bucket, past=past))
            yield Next(Action("loses the reply", name, request, reply, step.notes), applied, wrong or problem)
        yield Next(Action("loses", name, request, None, step.notes), after, problem)

    def _outcome(self, state: State, place: int, request: Request) -> _Outcome:
        key = (state.bucket, state.nodes[place], state.past)
        known = self._outcomes.get(key)
        if known is None:
            name = self.cast.actors[place].name
            objects, reply = perform(self.buckets[state.bucket], request)
            bucket, past, problem = self._changed(state.bucket, objects, state.past, request, name)
            step = self.minds.told(state.nodes[place], reply)
            problem = problem or self._believed(step.notes, name, bucket, past)
            known = self._outcomes[key] = _Outcome(bucket, step.node, past, reply, step.notes, problem)
        return known

    def _changed(
        self, before: int, objects: Objects, past: int, request: Request, name: str
    ) -> tuple[int, int, str]:
        """The numbers of the bucket and of the past after a change, and what is wrong with it."""
        was = self.buckets[before]
        if objects is was:
            return before, past, ""
        problem = broken_write(was, objects, request, self.pasts[past], self._writers[name])
        bucket = self._bucket(objects)
        past = self.pasts.of(past_after(was, objects, self.pasts[past]))
        return bucket, past, problem or self._bucket_problems[bucket]

    def _believed(self, notes: tuple[Note, ...], name: str, bucket: int, past: int) -> str:
        objects, seen = self.buckets[bucket], self.pasts[past]
        return next((said for note in notes if (said := broken_note(note, name, objects, seen))), "")

    def _heard(self, state: State, notes: tuple[Note, ...], name: str) -> State:
        """The controller learns which number was taken."""
        for kind, what in notes:
            if kind == "took" and state.nodes:
                control, past = self.controls[state.control], self.pasts[state.past]
                known = control._replace(known=max(control.known, int(what)))
                seen = replace(past, taken=past.taken | {(int(what), name)})
                state = state._replace(control=self.controls.of(known), past=self.pasts.of(seen))
        return state

    def _with_node(self, state: State, place: int, node: int) -> State:
        return state._replace(nodes=(*state.nodes[:place], node, *state.nodes[place + 1 :]))

    # what is on its way

    def _settled(self, state: State) -> State:
        """Forgets what can make no difference any more, since generation and seq never go back."""
        body = self.buckets[state.bucket].get(POINTER_KEY)
        if body is None:
            return state
        version, generation = version_of(body), pointer_in(body).generation
        flight = tuple(
            number
            for number in state.flight
            if self.requests[number][0].method != "replace" or self.requests[number][0].version == version
        )
        control = self.controls[state.control].since(generation)
        past = self.pasts[state.past].since(generation)
        return state._replace(flight=flight, control=self.controls.of(control), past=self.pasts.of(past))

    def _arrivals(self, state: State) -> Iterator[Next]:
        for place, number in enumerate(state.flight):
            if place and state.flight[place - 1] == number:
                continue
            request, sender = self.requests[number]
            objects, reply = perform(self.buckets[state.bucket], request)
            bucket, past, problem = self._changed(state.bucket, objects, state.past, request, sender)
            after = state._replace(
                bucket=bucket, past=past, flight=(*state.flight[:place], *state.flight[place + 1 :])
            )
            yield Next(Action("arrives", sender, request, reply), self._settled(after), problem)

    def _deaths(self, state: State) -> Iterator[Next]:
        for place, actor in enumerate(self.cast.actors):
            if state.deaths and actor.name in self.cast.mortal and self.minds.requests[state.nodes[place]]:
                dead = self.minds.born(Actor(actor.name, "dead", True))
                after = self._with_node(state, place, dead)._replace(deaths=state.deaths - 1)
                yield Next(Action("dies", actor.name), after, "")

    # the controller

    def _scene(self, state: State) -> Scene:
        nodes = [self.minds.nodes[number] for number in state.nodes]
        return Scene(
            self.cast,
            self.controls[state.control],
            self.pasts[state.past],
            pointer_of(self.buckets[state.bucket]),
            frozenset(node.name for node in nodes if node.actor.phase == "dead"),
            frozenset(self._writers[node.name] for node in nodes if node.request is not None),
            state.freezes,
        )

    def _controller(self, state: State) -> Iterator[Next]:
        for move in moves(self._scene(state)):
            after = state._replace(
                control=self.controls.of(move.control), past=self.pasts.of(move.past), freezes=move.freezes
            )
            yield Next(Action(move.kind, move.who), after, "")
