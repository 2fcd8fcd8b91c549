"""The protocol, broken on purpose in memory: the model must find a counterexample for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import tests.model.attempt as attempt
import tests.model.replay as replay

from outlast.bucket import commit, owner, pointer, prune, retention, verbs, writer
from outlast.bucket.outcomes import Applied, Identity, Mine, OwnVerdict, Rebase, Stop, Wait
from outlast.bucket.prune import delete_checkpoint
from outlast.bucket.verbs import Advance
from outlast.ports import Conflict, Missing, Unsure
from outlast.protocol.codec import dump
from outlast.protocol.messages import Permission
from outlast.protocol.objects import POINTER_KEY, Manifest, ManifestRef, Pointer, PointerState
from outlast.save.types import Draft

Swap = tuple[Any, str, Any]  # where, what, by what


@dataclass(frozen=True)
class Mutant:
    name: str
    cast: str  # in which it must show
    says: str  # what must be found broken
    swaps: tuple[Swap, ...]
    lost: int = 0
    freezes: int = 0
    deaths: int = 0


@contextmanager
def broken(mutant: Mutant) -> Iterator[None]:
    with ExitStack() as stack:
        for where, name, value in mutant.swaps:
            stack.callback(setattr, where, name, getattr(where, name))
            setattr(where, name, value)
        yield


# judging the pointer

_judge_own = pointer.judge_own
_may_step_over = pointer._may_step_over


def _judged(judge: Callable[..., OwnVerdict]) -> tuple[Swap, ...]:
    return ((writer, "judge_own", judge), (pointer, "judge_own", judge))


def _whatever_the_body(
    found: Pointer | None, me: Identity, sent: Pointer | None, claimed: bool
) -> OwnVerdict:
    seen = _judge_own(found, me, sent, claimed)
    return Applied(seen.pointer, "mine") if isinstance(seen, Mine) and sent is not None else seen


def _any_writer(found: Pointer | None, me: Identity, sent: Pointer | None, claimed: bool) -> OwnVerdict:
    same = found is not None and found.generation == me.generation
    return _judge_own(found, replace(me, writer=found.writer) if same and found else me, sent, claimed)


def _lower_stops(found: Pointer | None, me: Identity, sent: Pointer | None, claimed: bool) -> OwnVerdict:
    seen = _judge_own(found, me, sent, claimed)
    return Stop("the pointer is of a lower generation") if isinstance(seen, Wait) and found else seen


def _stepping(allow: Callable[[Pointer, Permission], bool]) -> tuple[Swap, ...]:
    def judge(found: Pointer, permission: Permission) -> tuple[bool, str]:
        return (True, "broken") if allow(found, permission) else _may_step_over(found, permission)

    return ((pointer, "_may_step_over", judge),)


def _closed_generation(found: Pointer, permission: Permission) -> bool:
    return found.generation in {ref.generation for ref in permission.closed}


def _any_permission(found: Pointer, permission: Permission) -> bool:
    return found.state is PointerState.ENDED and permission.over_ended is not None


def _any_end(found: Pointer, permission: Permission) -> bool:
    return found.state is PointerState.ENDED


# writing it


def _in_writer(name: str, method: Callable[..., OwnVerdict]) -> tuple[Swap, ...]:
    return ((writer.PointerWriter, name, method),)


def _doubt_is_success(self: writer.PointerWriter, sent: writer.Sent) -> OwnVerdict:
    try:
        version = self._bucket.replace(POINTER_KEY, dump(sent.pointer), sent.version)
    except (Conflict, Missing, Unsure):
        version = self._version
    return self._now_applied(sent, version)


def _insisting(self: writer.PointerWriter, sent: writer.Sent) -> OwnVerdict:
    """After a conflict the same bytes are sent again, over the version that is there now."""
    try:
        return self._now_applied(sent, self._bucket.replace(POINTER_KEY, dump(sent.pointer), sent.version))
    except Conflict:
        version = self._bucket.get(POINTER_KEY).version
        return self._now_applied(sent, self._bucket.replace(POINTER_KEY, dump(sent.pointer), version))


def _unconditional(self: replay.Port, key: str, body: bytes, version: str) -> str:
    return str(self.ask("put", key, body))


# what is kept, and what is deleted

_build_advance_of_owner = owner.PointerOwner._build_advance
_victims = retention.victims


def _deleting_first(
    self: owner.PointerOwner, found: Pointer, made: ManifestRef | None
) -> tuple[Pointer, tuple[ManifestRef, ...]]:
    after, leaving = _build_advance_of_owner(self, found, made)
    for left in leaving:
        delete_checkpoint(self._bucket, self._cache, left, frozenset())
    return after, leaving


_build_advance = verbs.build_advance


def _returning(found: Pointer, advance: Advance) -> tuple[Pointer, tuple[ManifestRef, ...]]:
    """What an attempt started from is always kept, even if it has left before."""
    after, leaving = _build_advance(found, advance)
    begun = after.started_from
    if begun is None or begun in found.kept:
        return after, leaving
    return replace(after, kept=(begun, *after.kept)), leaving


def _without_pins(
    kept: tuple[ManifestRef, ...],
    parents: dict[str, str | None],
    head: ManifestRef | None,
    pinned: tuple[str, ...],
    keep: int,
) -> tuple[ManifestRef, ...]:
    return _victims(kept, parents, head, (), keep)


def _promised(self: commit.Commit, manifest: Manifest) -> ManifestRef:
    """The pointer moves before the manifest is there."""
    return self._remember(manifest)


def _from_the_store_alone(bucket: object, at_least: int, owner_id: str, who: str, at: str) -> int:
    return at_least


def _deleting_in_doubt(self: owner.PointerOwner, draft: Draft) -> OwnVerdict | Rebase:
    try:
        return _commit(self, draft)
    except Unsure:
        pending = self._writer._pending
        for left in pending.leaving if pending else ():
            delete_checkpoint(self._bucket, self._cache, left, frozenset())
        raise


_commit = owner.PointerOwner.commit
_RUNS, _ENDED = "runs and is not closed", "without permission"
_NEVER_NAMED, _SEQ = "no pointer ever named it", "a write was built on another pointer"

MUTANTS = (
    Mutant("equal generation, whatever the body", "long", _NEVER_NAMED, _judged(_whatever_the_body), lost=1),
    Mutant("same generation, any writer", "twins", "wrote a pointer that names", _judged(_any_writer)),
    Mutant("a lower generation stops a claimer", "long", "false alarm", _judged(_lower_stops)),
    Mutant("claim over whatever is there", "long", _RUNS, _stepping(lambda found, permission: True)),
    Mutant("claim over ended", "failures", _ENDED, _stepping(_any_end)),
    Mutant(
        "a closed generation, not a closed writer",
        "dead twin",
        _RUNS,
        _stepping(_closed_generation),
        deaths=1,
    ),
    Mutant("a permission for anybody", "failures", _ENDED, _stepping(_any_permission)),
    Mutant("a doubt is a success", "long", _NEVER_NAMED, _in_writer("_push", _doubt_is_success), lost=1),
    Mutant(
        "the same bytes over whatever is there", "handover", _SEQ, _in_writer("_push", _insisting), freezes=1
    ),
    Mutant("unconditional writes", "handover", _SEQ, ((replay.Port, "replace", _unconditional),), freezes=1),
    Mutant(
        "delete before the write is applied",
        "long",
        "closure",
        ((owner.PointerOwner, "_build_advance", _deleting_first),),
    ),
    Mutant(
        "delete while the write is in doubt",
        "long",
        "never left `kept`",
        ((owner.PointerOwner, "commit", _deleting_in_doubt),),
        lost=2,
    ),
    Mutant(
        "return to kept",
        "long",
        "leaving is one-way",
        ((owner, "build_advance", _returning), (writer, "build_advance", _returning)),
    ),
    Mutant(
        "collect higher generations",
        "handover",
        "never left `kept`",
        ((prune, "_is_older", lambda name, own: True),),
        freezes=1,
    ),
    Mutant("pins are not heeded", "pin", "was pinned, and has left", ((verbs, "victims", _without_pins),)),
    Mutant("pointer before data", "long", "closure", ((commit.Commit, "_create", _promised),)),
    Mutant(
        "numbers from the store alone",
        "restored",
        "was taken by",
        ((attempt, "take_generation", _from_the_store_alone),),
    ),
)
