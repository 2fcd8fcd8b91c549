"""What must hold in every state of the model, and of every change of the bucket. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.model.attempt import Note
from tests.model.objects import Objects, Request, manifest_in, pointer_of

from outlast.bucket.manifest import hash_bytes
from outlast.protocol.objects import POINTER_KEY, Pointer, PointerState, generation_of, pin_key

Pair = tuple[int, str]  # generation and writer


@dataclass(frozen=True)
class Past:
    """What an all-knowing witness has seen. The controller may forget; this does not."""

    closed: frozenset[Pair] = frozenset()  # with proof
    permitted: frozenset[Pair] = frozenset()
    left: frozenset[str] = frozenset()  # names that have left `kept`
    taken: frozenset[tuple[int, str]] = frozenset()  # generation, and the attempt that was told it is its own

    def since(self, generation: int) -> Past:
        """Without what was proven of generations that nobody can claim over any more."""
        closed, permitted = (from_generation(pairs, generation) for pairs in (self.closed, self.permitted))
        if (closed, permitted) == (self.closed, self.permitted):
            return self
        return replace(self, closed=closed, permitted=permitted)


def from_generation(pairs: frozenset[Pair], generation: int) -> frozenset[Pair]:
    return frozenset(pair for pair in pairs if pair[0] >= generation)


def past_after(before: Objects, after: Objects, past: Past) -> Past:
    old, new = pointer_of(before), pointer_of(after)
    if old is None or new is None or old.kept == new.kept:
        return past
    return replace(past, left=past.left | ({ref.name for ref in old.kept} - {ref.name for ref in new.kept}))


def broken_closure(objects: Objects) -> str:
    """Closure: all that `kept` names is there, whole."""
    pointer = pointer_of(objects)
    for ref in pointer.kept if pointer else ():
        body = objects.get(ref.key)
        if body is None or hash_bytes(body) != ref.hash:
            return f"closure: `kept` names {ref.name}, but its manifest is not there"
        for entry in manifest_in(body).files:
            data = objects.get(entry.key)
            if data is None or hash_bytes(data) != entry.hash:
                return f"closure: {ref.name} is kept and needs {entry.key}, which is not there"
    return ""


def broken_write(before: Objects, after: Objects, request: Request, past: Past, writer: str) -> str:
    """What is wrong with one change of the bucket by `writer`."""
    if request.key == POINTER_KEY:
        old, new = pointer_of(before), pointer_of(after)
        if new is None:
            return "the pointer was deleted"
        if new.writer != writer:
            return f"{writer} wrote a pointer that names {new.writer}"
        for problem in _move(old, new, after, past):
            return problem
        return ""
    was = before.get(request.key)
    if was is None or request.key.startswith("pins/"):
        return ""
    if request.key in after and after[request.key] != was:
        return f"no object is ever overwritten: {request.key}"
    return _deletion(request.key, pointer_of(before), past) if request.key not in after else ""


def _deletion(key: str, pointer: Pointer | None, past: Past) -> str:
    """Only what has left `kept`, or what lower generations than the owner left unlisted, is deleted."""
    name = key.split("/")[1].removesuffix(".json")
    if pointer is None:
        return f"{key} was deleted before anybody had claimed"
    if name in past.left or generation_of(name) < pointer.generation:
        return ""
    return f"{key} was deleted: it never left `kept`, and generation {pointer.generation} may still list it"


def _move(old: Pointer | None, new: Pointer, after: Objects, past: Past) -> Iterator[str]:
    if old is None:
        if new.head is not None or new.kept:
            yield "a first claim that resumes from something"
        return
    if new.seq != old.seq + 1:
        yield f"seq goes from {old.seq} to {new.seq}: a write was built on another pointer"
    mine = (new.generation, new.writer) == (old.generation, old.writer)
    if new.generation < old.generation:
        yield f"a fenced writer moved the pointer: generation {old.generation} back to {new.generation}"
    elif new.generation == old.generation and not mine:
        yield f"one writer a generation: {old.writer} and {new.writer} both own {old.generation}"
    yield from _advance(old, new, after) if mine else _claim(old, new, past)
    yield from _kept(old, new, past, after)


def _claim(old: Pointer, new: Pointer, past: Past) -> Iterator[str]:
    them = (old.generation, old.writer)
    if old.state is PointerState.RUNNING and them not in past.closed:
        yield f"claimed over generation {old.generation} ({old.writer}), which runs and is not closed"
    if old.state is PointerState.ENDED and them not in past.permitted:
        yield f"claimed over generation {old.generation} ({old.writer}), which ended, without permission"
    if new.head is not None and new.head not in old.kept:
        yield f"claimed from {new.head.name}, which was not kept"
    if new.kept != old.kept:
        yield "a claim changed what is kept"


def _advance(old: Pointer, new: Pointer, after: Objects) -> Iterator[str]:
    if old.state is not PointerState.RUNNING:
        yield f"written after {old.state.value}"
    if new.head == old.head or new.head is None:
        return
    body = after.get(new.head.key)
    if body is not None and manifest_in(body).parent != old.head:
        yield f"the chain of parents breaks: the head goes from {old.head} to {new.head.name}, no child of it"
    if generation_of(new.head.name) != new.generation:
        yield f"the head became {new.head.name}, which another generation made"


def _kept(old: Pointer, new: Pointer, past: Past, after: Objects) -> Iterator[str]:
    were, are = {ref.name for ref in old.kept}, {ref.name for ref in new.kept}
    for name in sorted(are - were):
        if name in past.left:
            yield f"leaving is one-way: {name} came back"
        if new.head is None or name != new.head.name:
            yield f"{name} joined `kept` without being the head"
    if new.head is not None and new.head.name not in are:
        yield f"the head {new.head.name} is not kept"
    for name in sorted(were - are):
        if name in old.pinned and pin_key(name) in after:
            yield f"{name} was pinned, and has left"


def broken_note(note: Note, actor: str, objects: Objects, past: Past) -> str:
    """Whether what an actor now believes is true."""
    kind, what = note
    pointer = pointer_of(objects)
    if kind == "took":
        others = [name for number, name in past.taken if f"{number}" == what and name != actor]
        return f"generation {what} was taken by {others[0]} and {actor}" if others else ""
    if pointer is None:
        return f"{actor} says {kind}: {what}, but there is no pointer"
    if kind == "committed":
        known = {ref.name for ref in pointer.kept} | past.left
        return "" if what in known else f"{actor} says that {what} is durable, and no pointer ever named it"
    if kind == "pinned":
        return "" if what in pointer.pinned else f"{what} was said to be pinned, and is not"
    if kind == "closed":
        still = f"{pointer.generation} {pointer.writer}" == what and pointer.state is PointerState.RUNNING
        return f"{actor} says that it is over, but the pointer shows it running" if still else ""
    if kind in ("fell back", "cannot restore"):
        return f"{actor} could not restore the head: {what}" if _owns(pointer, actor) else ""
    if kind == "alarm":
        return f"false alarm: {actor} stops with: {what}"
    return ""


def _owns(pointer: Pointer, actor: str) -> bool:
    """Writers are named after their actors: the actor w2 writes as lw2."""
    return pointer.writer == writer_name(actor)


def writer_name(actor: str) -> str:
    return f"l{actor}"
