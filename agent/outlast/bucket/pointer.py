"""Judges the pointer that was read: what it means to a claimer and to its owner. Pure.

`docs/protocol.md` has the table; the shell that reads and writes is `outlast.bucket.owner`.
"""

from __future__ import annotations

import functools

from outlast.bucket.outcomes import (
    Applied,
    ClaimAsk,
    ClaimVerdict,
    Fenced,
    Identity,
    Mine,
    Over,
    OwnVerdict,
    Stop,
    Wait,
    Write,
)
from outlast.bucket.retention import victims
from outlast.protocol.codec import FormatError, load
from outlast.protocol.limits import POINTER_BYTES_MAX
from outlast.protocol.messages import Permission, WriterRef
from outlast.protocol.objects import (
    FORMAT,
    POINTER_KEY,
    ManifestRef,
    Pointer,
    PointerState,
    generation_of,
    manifest_key,
)
from outlast.protocol.values import replace

__all__ = [
    "Applied",
    "BadPointer",
    "ClaimAsk",
    "Fenced",
    "Identity",
    "Mine",
    "Over",
    "Stop",
    "Wait",
    "Write",
    "judge_claim",
    "judge_own",
    "parse_pointer",
    "victims",
]

PARSED_KEPT = 256  # pointers are read every few seconds, and hardly ever one has changed
_APART = "give each its own"
_MEND = "Nothing was changed; see docs/protocol.md, 'Recovery by hand'."


class BadPointer(Exception):
    """`latest.json` is there, but it is not a pointer of this job; nothing may be built on it."""


def parse_pointer(body: bytes, owner: str | None, job: str) -> Pointer:
    """The pointer in `body`. Raises BadPointer; `owner` None accepts any owner."""
    if len(body) > POINTER_BYTES_MAX:
        raise BadPointer(
            f"{POINTER_KEY} has {len(body)} bytes, more than any pointer: not one of ours. {_MEND}"
        )
    return _parsed(body, owner, job)


@functools.lru_cache(maxsize=PARSED_KEPT)
def _parsed(body: bytes, owner: str | None, job: str) -> Pointer:
    try:
        pointer = load(Pointer, body)
    except FormatError as error:
        raise BadPointer(f"{POINTER_KEY} is damaged ({error}). {_MEND}") from error
    if pointer.format != FORMAT:
        raise BadPointer(
            f"{POINTER_KEY} has format {pointer.format}, this program knows {FORMAT}: "
            "a newer Outlast wrote it; use that one."
        )
    problem = _foreign(pointer, owner, job) or _inconsistent(pointer)
    if problem:
        raise BadPointer(f"{problem} {_MEND}")
    return pointer


def _foreign(pointer: Pointer, owner: str | None, job: str) -> str:
    if pointer.job != job:
        return (
            f"{POINTER_KEY} belongs to job {pointer.job!r}, not to {job!r}: two jobs, one prefix; {_APART}."
        )
    if owner is not None and pointer.owner != owner:
        whose = f"{POINTER_KEY} belongs to owner {pointer.owner!r}, not to {owner!r}"
        return f"{whose}: two servers use one storage and prefix; {_APART}."
    return ""


def _inconsistent(pointer: Pointer) -> str:
    if pointer.generation < 1 or pointer.seq < 1 or not pointer.writer:
        return f"{POINTER_KEY} has no valid generation, seq or writer."
    for ref in pointer.kept:
        if not _well_formed(ref):
            return f"{POINTER_KEY} lists {ref.key!r}, which is not the key of a manifest."
    if len({ref.key for ref in pointer.kept}) != len(pointer.kept):
        return f"{POINTER_KEY} lists a checkpoint twice."
    if pointer.head is not None and pointer.head not in pointer.kept:
        return f"{POINTER_KEY} has a head, {pointer.head.name}, that is not in `kept`."
    return ""


def _well_formed(ref: ManifestRef) -> bool:
    try:
        generation = generation_of(ref.name)
    except ValueError:
        return False
    return generation >= 1 and "/" not in ref.name and ref.key == manifest_key(ref.name) and ":" in ref.hash


def judge_claim(found: Pointer | None, ask: ClaimAsk) -> ClaimVerdict:
    """The verb claim: the table of design section 4, first row, and rules 1 and 2."""
    me = ask.me
    if found is None:
        return _judge_first_claim(ask)
    seen = judge_own(found, me, None, ask.claimed)
    if isinstance(seen, Mine):
        return Applied(found, f"claimed: the pointer names generation {me.generation} and this writer")
    if not isinstance(seen, Wait):
        return seen
    allowed, why = _may_step_over(found, ask.permission)
    if not allowed:
        return Wait(why)
    permission = ask.permission
    if permission.start_from is not None and permission.start_from not in found.kept:
        return Stop(
            f"checkpoint {permission.start_from.name} was chosen to start from, but it is no longer kept: "
            "too late. Choose another one of `checkpoints ls`."
        )
    head = permission.start_from or found.head
    if head is None and permission.durable_step is not None:
        return Stop(
            f"step {permission.durable_step} is known to be durable, but {POINTER_KEY} names no checkpoint: "
            "not starting at step 0."
        )
    started_why = (
        "chosen by a person" if permission.start_from else ("the head" if head else "nothing saved yet")
    )
    return Write(
        replace(
            found,
            generation=me.generation,
            writer=me.writer,
            instances=me.instances,
            seq=found.seq + 1,
            state=PointerState.RUNNING,
            head=head,
            at=ask.at,
            exit_code=None,
            why=why,
            started_from=head,
            started_why=started_why,
        ),
        why,
    )


def _judge_first_claim(ask: ClaimAsk) -> Write | Stop:
    me, permission = ask.me, ask.permission
    if ask.claimed:
        return _vanished(me)
    if permission.durable_step is not None:
        return Stop(
            f"{POINTER_KEY} is not there, although step {permission.durable_step} is known to be durable: "
            "not starting at step 0. Is this the right bucket and prefix?"
        )
    past = (*permission.closed, *((permission.over_ended,) if permission.over_ended else ()))
    if past:
        # What that attempt saved may have been durable before anybody could hear of it.
        return Stop(
            f"{POINTER_KEY} is not there, although generation {past[-1].generation} had claimed: "
            "not starting at step 0. Is this the right bucket and prefix?"
        )
    if permission.start_from is not None:
        return Stop(f"{POINTER_KEY} is not there, so checkpoint {permission.start_from.name} is not kept.")
    why = "the first claim of this job"
    return Write(
        Pointer(
            format=FORMAT,
            owner=me.owner,
            job=me.job,
            generation=me.generation,
            writer=me.writer,
            instances=me.instances,
            seq=1,
            state=PointerState.RUNNING,
            head=None,
            kept=(),
            at=ask.at,
            why=why,
            started_why="nothing saved yet",
        ),
        why,
    )


def _may_step_over(found: Pointer, permission: Permission) -> tuple[bool, str]:
    """Whether the older attempt that `found` names is over, with the reason."""
    them = WriterRef(found.generation, found.writer)
    name = f"generation {found.generation} ({found.writer})"
    dropped = ""
    if permission.over_ended is not None and permission.over_ended != them:
        # A permission is for one writer only: that it is dropped must be seen by people.
        dropped = (
            f" (the permission to continue generation {permission.over_ended.generation} was dropped: "
            "the pointer has moved on)"
        )
    if found.state is PointerState.RELEASED:
        return True, f"{name} released the job{dropped}"
    if found.state is PointerState.ENDED:
        if permission.over_ended == them:
            return True, f"{name} ended with code {found.exit_code}, and was given free to be continued"
        return False, f"{name} ended with code {found.exit_code}: only a restart may continue it{dropped}"
    if them in permission.closed:
        return True, f"{name} was closed by the controller{dropped}"
    return False, f"{name} is running and not closed{dropped}"


def judge_own(found: Pointer | None, me: Identity, sent: Pointer | None, claimed: bool) -> OwnVerdict:
    """What a reading means to a writer. `sent`: the write in question; `claimed`: I have owned it before."""
    if found is None:
        return _vanished(me) if claimed else Wait(f"{POINTER_KEY} is not there yet")
    problem = _foreign(found, me.owner, me.job)
    if problem:
        return Stop(problem + " " + _MEND)
    if found.generation > me.generation:
        return Fenced(f"generation {found.generation} owns the job; this is generation {me.generation}")
    if found.generation < me.generation:
        if claimed:
            return Stop(
                f"{POINTER_KEY} went back to generation {found.generation} after generation {me.generation} "
                "had claimed: somebody restored or replaced it."
            )
        return Wait(f"generation {found.generation} owns the job")
    if found.writer != me.writer:
        return Fenced(f"another writer of generation {me.generation} owns the job: {found.writer}")
    if sent is not None and found == sent:
        return Applied(found, "the pointer is what was sent")
    if found.state is not PointerState.RUNNING:
        return Over(found, f"generation {me.generation} is {found.state.value} already: {found.why}")
    return Mine(found, f"generation {me.generation} runs")


def _vanished(me: Identity) -> Stop:
    return Stop(
        f"{POINTER_KEY} vanished after generation {me.generation} had claimed: somebody removed it. "
        "Stopping; the checkpoints are untouched."
    )
