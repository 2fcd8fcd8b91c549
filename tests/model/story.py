"""Tells a trace in words: who did what, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.objects import WRITES, Reply, Request, manifest_in, pointer_in
from tests.model.states import Action

from outlast.ports import Blob
from outlast.protocol.messages import Permission
from outlast.protocol.objects import POINTER_KEY, Pointer

_VERBS = {"create": "creates", "replace": "replaces", "put": "puts", "upload": "uploads", "delete": "deletes"}
_QUESTIONS = {
    "plan": "is planned, with numbers from",
    "permission": "asks what it may claim over, and is told:",
    "number of": "gets the number of its twin:",
    "start from": "asks the controller to start the next attempt from",
    "death of": "is started in the place of",
}
_BY_OTHERS = {
    "dies": "dies",
    "closes": "is dead, and the controller closes it",
    "freezes and closes": "freezes for longer than the lease, and the controller closes it; it will wake up",
    "permits": "ended, and the controller permits to continue it",
}


def story(trace: tuple[Action, ...], problem: str) -> Iterator[str]:
    for number, action in enumerate(trace, 1):
        yield f"{number:3d}. {sentence(action)}"
    yield f"     BROKEN: {problem}"


def sentence(action: Action) -> str:
    if action.kind == "forgets":
        return "the controller's store is restored from an old backup: no permission and no number is known"
    if action.kind in _BY_OTHERS:
        return f"{action.who} {_BY_OTHERS[action.kind]}"
    assert action.request is not None
    told = "".join(f"; it believes: {kind} {what}" for kind, what in action.notes)
    if action.kind == "asks":
        return f"{action.who} {_QUESTIONS[action.request.method]} {_answer(action)}{told}"
    deed = f"{action.who} {_deed(action.request)}"
    if action.kind == "does":
        return f"{deed}{_result(action.request, action.reply)}{told}"
    if action.kind == "arrives":
        return f"LATE: what was sent arrives: {deed}{_result(action.request, action.reply)}"
    if action.kind == "loses the reply":
        return f"{deed}, which takes place, but THE REPLY IS LOST{told}"
    lost = "and gets NO ANSWER" + (
        ": it may arrive later, or never" if action.request.method in WRITES else ""
    )
    return f"{deed} {lost}{told}"


def _answer(action: Action) -> str:
    assert action.request is not None
    value = action.reply.value if action.reply else None
    if isinstance(value, Permission):
        closed = ", ".join(f"{ref.writer} (generation {ref.generation})" for ref in value.closed)
        over = value.over_ended
        words = [f"closed are {closed}" if closed else ""]
        words += [f"{over.writer} (generation {over.generation}) may be continued" if over else ""]
        words += [f"start from {value.start_from.name}" if value.start_from else ""]
        return "; ".join(word for word in words if word) or "nothing"
    return f"{value if value is not None else action.request.key}"


def _deed(request: Request) -> str:
    if request.method not in WRITES:
        return f"{'lists' if request.method == 'list' else 'reads'} {request.key}"
    verb = _VERBS[request.method]
    if request.key == POINTER_KEY and request.body:
        return f"{verb} the pointer by: {_pointer(pointer_in(request.body))}"
    if request.key.startswith("manifests/") and request.body:
        parent = manifest_in(request.body).parent
        return f"{verb} {request.key}, a child of {parent.name if parent else 'nothing'}"
    return f"{verb} {request.key}"


def _result(request: Request, reply: Reply | None) -> str:
    if reply is None:
        return ""
    if reply.error is not None:
        return f": {reply.error.__name__}"
    if isinstance(reply.value, Blob) and request.key == POINTER_KEY:
        return f": {_pointer(pointer_in(reply.value.body))}"
    if isinstance(reply.value, tuple):
        return f": {', '.join(info.key.removeprefix(request.key) for info in reply.value) or 'nothing'}"
    return ""


def _pointer(pointer: Pointer) -> str:
    kept = ", ".join(ref.name for ref in pointer.kept) or "nothing"
    pins = f", pinned {', '.join(pointer.pinned)}" if pointer.pinned else ""
    head = pointer.head.name if pointer.head else "nothing"
    return (
        f"[generation {pointer.generation} of {pointer.writer} {pointer.state.value}, "
        f"seq {pointer.seq}, head {head}, kept {kept}{pins}]"
    )
