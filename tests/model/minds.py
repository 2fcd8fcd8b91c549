"""Actors as numbered nodes: what one asks next, and where each reply takes it; each is worked out once."""

from __future__ import annotations

from dataclasses import dataclass

from tests.model.attempt import Actor, Note
from tests.model.objects import Reply, Request
from tests.model.replay import PORT, NeedsReply, copied, fingerprint, place_in_code

VERBS_MAX = 50  # in a row without a question: such an actor would never stop


@dataclass(frozen=True)
class Node:
    """An actor between two things that it asks of the world."""

    name: str
    actor: Actor  # as it was when its last verb returned; never changed in place
    replies: tuple[Reply, ...]  # since then
    request: Request | None  # None: it is done


@dataclass(frozen=True)
class Step:
    """Where a reply takes an actor, and what it told on the way."""

    node: int
    notes: tuple[Note, ...]


class Minds:
    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.requests: list[Request | None] = []
        self._numbers: dict[object, int] = {}
        self._steps: dict[tuple[int, Reply], Step] = {}

    def born(self, actor: Actor) -> int:
        return self._run(copied(actor), ()).node

    def told(self, number: int, reply: Reply) -> Step:
        """The node after that reply."""
        known = self._steps.get((number, reply))
        if known is None:
            node = self.nodes[number]
            known = self._run(copied(node.actor), (*node.replies, reply))
            self._steps[number, reply] = known
        return known

    def _run(self, actor: Actor, replies: tuple[Reply, ...]) -> Step:
        notes: list[Note] = []
        for _ in range(VERBS_MAX):
            before = copied(actor)
            PORT.load(replies)
            try:
                if actor.done:
                    return Step(
                        self._number(
                            actor.name,
                            Actor(actor.name, actor.phase, True),
                            (),
                            None,
                            (actor.name, actor.phase == "dead"),
                        ),
                        tuple(notes),
                    )
                actor.step()
            except NeedsReply as needs:
                key = _key(before, replies, needs)
                return Step(self._number(actor.name, before, replies, needs.request, key), tuple(notes))
            notes += actor.notes
            actor.notes.clear()
            replies = ()
        raise AssertionError(f"{actor.name} goes on for ever in phase {actor.phase}")

    def _number(
        self, name: str, actor: Actor, replies: tuple[Reply, ...], request: Request | None, key: object
    ) -> int:
        if key not in self._numbers:
            self._numbers[key] = len(self.nodes)
            self.nodes.append(Node(name, actor, replies, request))
            self.requests.append(request)
        return self._numbers[key]


def _key(actor: Actor, replies: tuple[Reply, ...], needs: NeedsReply) -> object:
    if not replies and not actor.reads_on:
        return (fingerprint(actor, boundary=True), needs.request)
    # What was listed is walked through by iterators, which no variable shows.
    lists = tuple(reply for reply in replies if isinstance(reply.value, tuple))
    assert needs.__traceback__ is not None
    return (place_in_code(needs.__traceback__.tb_next), lists, needs.request)
