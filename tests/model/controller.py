"""The model's controller: what it answers, whom it closes and when, and what a restored store forgets. Pure.

It stands for `core/rules`: more permissive than they are wherever that is simpler. It closes a writer that
the pointer names only on proof (the machine is dead, or was silent beyond the lease: one freeze), and, once
there is a pointer, any writer whose machine is dead. It permits to continue an `ended` one, and never takes
back a permission.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from tests.model.attempt import Attempt
from tests.model.casts import Cast
from tests.model.objects import Reply, Request
from tests.model.rules import Pair, Past, from_generation

from outlast.protocol.messages import Permission, WriterRef
from outlast.protocol.objects import ManifestRef, Pointer, PointerState


class Control(NamedTuple):
    """What the controller knows, and which permissions it gives."""

    closed: frozenset[Pair] = frozenset()
    over_ended: Pair | None = None
    known: int = 0  # the highest generation that it remembers
    start_from: ManifestRef | None = None
    forgets: int = 0  # how often it may still be restored from an old backup

    def since(self, generation: int) -> Control:
        """Without the permissions to step over generations that were stepped over already."""
        over = self.over_ended if self.over_ended and self.over_ended[0] >= generation else None
        return self._replace(closed=from_generation(self.closed, generation), over_ended=over)


@dataclass(frozen=True)
class Scene:
    """A state as the controller, or whoever judges it, needs it."""

    cast: Cast
    control: Control
    past: Past
    pointer: Pointer | None
    dead: frozenset[str]
    active: frozenset[str]  # writers that may still do something
    freezes: int


class Move(NamedTuple):
    kind: str
    who: str
    control: Control
    past: Past
    freezes: int


def answer(scene: Scene, request: Request) -> tuple[Reply | None, Control]:
    """The reply to a question that is not the bucket's; None: not yet."""
    control, who = scene.control, request.key
    if request.method == "plan":
        found = scene.pointer.generation if scene.pointer else 0
        return Reply(1 + max(control.known, found)), control
    if request.method == "number of":
        numbers = [number for number, name in scene.past.taken if name == who]
        return (Reply(numbers[0]) if numbers else None), control
    if request.method == "permission":
        return Reply(_permission(control, who if scene.cast.heir == who else "")), control
    if request.method == "death of":
        return (Reply() if who in scene.dead else None), control
    if request.method == "start from":
        name = who.removeprefix("manifests/").removesuffix(".json")
        ref = ManifestRef(who, request.version, int(name.split("-")[0]))
        return Reply(), control._replace(start_from=ref)
    raise AssertionError(f"nobody answers {request.method}")


def _permission(control: Control, heir: str) -> Permission:
    """Without a durable step: with one, a claimer would only stop more often."""
    return Permission(
        closed=tuple(WriterRef(*pair) for pair in sorted(control.closed)),
        over_ended=WriterRef(*control.over_ended) if control.over_ended else None,
        start_from=control.start_from if heir else None,
    )


def moves(scene: Scene) -> Iterator[Move]:
    control, past, pointer = scene.control, scene.past, scene.pointer
    if pointer is not None:
        named = (pointer.generation, pointer.writer)
        if pointer.state is PointerState.RUNNING and named not in control.closed:
            alive = pointer.writer in scene.active
            if not alive or scene.freezes:
                kind = "freezes and closes" if alive else "closes"
                yield _close(scene, kind, named, scene.freezes - alive)
        if pointer.state is PointerState.ENDED and named != control.over_ended:
            seen = replace(past, permitted=past.permitted | {named})
            told = control._replace(over_ended=named)
            yield Move("permits", pointer.writer, told, seen, scene.freezes)
    for name in sorted(scene.dead) if pointer is not None else ():
        pair = _pair(scene, name)
        named_now = pointer is not None and pair == (pointer.generation, pointer.writer)
        if pair is not None and pair not in control.closed and not named_now:
            yield _close(scene, "closes", pair, scene.freezes)
    if control.forgets:
        yield Move("forgets", "", Control(forgets=control.forgets - 1), past, scene.freezes)


def _close(scene: Scene, kind: str, pair: Pair, freezes: int) -> Move:
    control = scene.control._replace(closed=scene.control.closed | {pair})
    past = replace(scene.past, closed=scene.past.closed | {pair})
    return Move(kind, pair[1], control, past, freezes)


def _pair(scene: Scene, name: str) -> Pair | None:
    """Generation and writer of somebody who died, if he had a number."""
    actor = next(actor for actor in scene.cast.actors if actor.name == name)
    assert isinstance(actor, Attempt)
    if actor.generation:
        return (actor.generation, actor.writer)
    taken = {by: number for number, by in scene.past.taken}
    number = taken.get(actor.twin_of or name)
    return None if number is None else (number, actor.writer)
