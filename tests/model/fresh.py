"""From every state a fresh attempt with the right permission can claim, restore, save and release.

Whoever else is in the middle of anything just stands still meanwhile: nobody ever blocks the job.
"""

from __future__ import annotations

from tests.model.attempt import Attempt
from tests.model.minds import Minds
from tests.model.objects import Objects, Reply, manifest_in, perform, pointer_of
from tests.model.rules import Past, broken_closure, broken_note, broken_write, past_after

from outlast.protocol.messages import Permission, WriterRef
from outlast.protocol.objects import POINTER_KEY

STEPS_MAX = 200
NAME = "fresh"


class FreshClaims:
    """Remembers which buckets were tried: what no kept checkpoint needs makes no difference."""

    def __init__(self) -> None:
        self._known: dict[object, str] = {}

    def broken(self, objects: Objects) -> str:
        needed = _needed(objects)
        key = frozenset(needed.items())
        if key not in self._known:
            self._known[key] = _try(Minds(), needed)
        return self._known[key]


def _needed(objects: Objects) -> Objects:
    """The pointer, what it keeps, pins, and the numbers that are taken."""
    pointer = pointer_of(objects)
    keys = {POINTER_KEY} | {key for key in objects if key.startswith(("pins/", "generations/"))}
    for ref in pointer.kept if pointer else ():
        keys |= {ref.key, *(entry.key for entry in manifest_in(objects[ref.key]).files)}
    return {key: objects[key] for key in keys if key in objects}


def _try(minds: Minds, objects: Objects) -> str:
    pointer = pointer_of(objects)
    if pointer is None:
        return ""  # the first claim of all: nothing is known yet
    them = WriterRef(pointer.generation, pointer.writer)
    past = Past(frozenset({(them.generation, them.writer)}), frozenset({(them.generation, them.writer)}))
    permission = Permission(closed=(them,), over_ended=them)
    node = minds.born(Attempt(NAME, "plan", writer=f"l{NAME}", saves=1))
    told: list[str] = []
    for _ in range(STEPS_MAX):
        request = minds.requests[node]
        if request is None:
            break
        before = objects
        if request.method == "plan":
            reply = Reply(pointer.generation + 1)
        elif request.method == "permission":
            reply = Reply(permission)
        else:
            objects, reply = perform(objects, request)
        past = past_after(before, objects, past)
        step = minds.told(node, reply)
        node = step.node
        told += [kind for kind, _ in step.notes]
        problems = [broken_write(before, objects, request, past, f"l{NAME}")] if objects is not before else []
        problems += [broken_note(note, NAME, objects, past) for note in step.notes]
        problem = next((problem for problem in (*problems, broken_closure(objects)) if problem), "")
        if problem:
            return f"a fresh attempt that could claim here would break it: {problem}"
    if told != ["took", "claimed", "committed", "closed"]:
        return f"a fresh attempt can't take over here: it got as far as {told}"
    return ""
