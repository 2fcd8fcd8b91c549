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
    """Two histories of an actor are one node when its code stands at the same place with the same variables.

    `DoubtfulMinds` checks that this is true of all that it merges.
    """

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

    def seen(self) -> frozenset[str]:
        """Which beliefs occurred at all, as `actor kind`."""
        return frozenset(
            f"{self.nodes[number].name} {kind}"
            for (number, _), step in self._steps.items()
            for kind, _ in step.notes
        )

    def _run(self, actor: Actor, replies: tuple[Reply, ...]) -> Step:
        notes: list[Note] = []
        for _ in range(VERBS_MAX):
            before = copied(actor)
            PORT.load(replies)
            try:
                if actor.done:
                    dead = Actor(actor.name, actor.phase, True)
                    key: object = (actor.name, actor.phase == "dead")
                    return Step(self._number(Node(actor.name, dead, (), None), key), tuple(notes))
                actor.step()
            except NeedsReply as needs:
                key = _key(before, replies, needs)
                return Step(self._number(Node(actor.name, before, replies, needs.request), key), tuple(notes))
            notes += actor.notes
            actor.notes.clear()
            replies = ()
        raise AssertionError(f"{actor.name} goes on for ever in phase {actor.phase}")

    def _number(self, node: Node, key: object) -> int:
        if key not in self._numbers:
            self._numbers[key] = len(self.nodes)
            self.nodes.append(node)
            self.requests.append(node.request)
        return self._numbers[key]


class DoubtfulMinds(Minds):
    """Follows every history that was merged into a node by itself: each reply must take all to one place."""

    def __init__(self) -> None:
        super().__init__()
        self.followed = 0  # replies given to somebody who had been merged
        self._merged: dict[int, list[Node]] = {}
        self._histories: set[object] = set()
        self._replies: dict[int, list[Reply]] = {}
        self._due: list[tuple[Node, int, Reply]] = []

    def told(self, number: int, reply: Reply) -> Step:
        if (number, reply) in self._steps:
            return self._steps[number, reply]
        known = super().told(number, reply)
        self._replies.setdefault(number, []).append(reply)
        self._due += [(node, number, reply) for node in self._merged.get(number, [])]
        while self._due:
            node, number, reply = self._due.pop()
            step = self._run(copied(node.actor), (*node.replies, reply))
            there = self._steps[number, reply]
            assert step == there, (
                f"{node.name} was merged with somebody else at {node.request}: {step}, {there}"
            )
            self.followed += 1
        return known

    def _number(self, node: Node, key: object) -> int:
        number = super()._number(node, key)
        history = (number, fingerprint(node.actor), node.replies)
        if history not in self._histories and self.nodes[number] is not node:
            self._merged.setdefault(number, []).append(node)
            self._due += [(node, number, reply) for reply in self._replies.get(number, [])]
        self._histories.add(history)
        return number


def _key(actor: Actor, replies: tuple[Reply, ...], needs: NeedsReply) -> object:
    if not replies and not actor.reads_on:
        return (fingerprint(actor, boundary=True), needs.request)
    # What was listed is walked through by iterators, which no variable shows.
    lists = tuple(reply for reply in replies if isinstance(reply.value, tuple))
    assert needs.__traceback__ is not None
    return (place_in_code(needs.__traceback__.tb_next), lists, needs.request)
