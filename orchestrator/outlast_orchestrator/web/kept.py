"""A job's checkpoints as people see, name, keep and check them; nothing here writes the pointer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from outlast.bucket.generations import read_pointer
from outlast.bucket.manifest import BadManifest, read_manifest
from outlast.bucket.pointer import BadPointer
from outlast.bucket.prune import HOLDER_SIGN
from outlast.bucket.verify import Examiner
from outlast.ports import Bucket, BucketError
from outlast.protocol.objects import Manifest, ManifestRef, Pointer, PointerState, pin_key
from outlast.restore import fall_back
from outlast_orchestrator.core.errors import OutlastError, UserError
from outlast_orchestrator.core.types import Job

PINS = "pins/"
TOLD_EVERY_BYTES = 32 << 20  # of a checkpoint that is compared
NAMES_MAX = 6  # in an error line
DIGITS_MAX = 18  # of a step


def pointer_of(bucket: Bucket, job: Job) -> Pointer | None:
    """Raises OutlastError, BucketError."""
    try:
        found = read_pointer(bucket, job.owner, job.id)
    except BadPointer as error:
        raise OutlastError(f"the pointer of {job.name} in {job.storage} is not readable: {error}") from error
    return None if found is None else found[0]


def choose(pointer: Pointer | None, which: str, job: Job) -> ManifestRef:
    """The kept checkpoint that a person means: a step, a whole name, or "" for the head. Raises UserError."""
    if pointer is None or not pointer.kept:
        raise UserError(f"{job.name} has no checkpoint yet")
    if not which and pointer.head is not None:
        return pointer.head
    by_name = [ref for ref in pointer.kept if ref.name == which]
    by_step = [ref for ref in pointer.kept if ref.step == _number(which)]
    if len(by_name or by_step) == 1:
        return (by_name or by_step)[0]
    if by_step:
        names = " or ".join(ref.name for ref in by_step)
        raise UserError(f"{job.name} keeps {len(by_step)} checkpoints of step {which}: name one, {names}")
    raise UserError(f"{job.name} keeps no checkpoint {which!r}: it keeps {_listed(pointer)}")


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) <= DIGITS_MAX else None


def _listed(pointer: Pointer) -> str:
    newest_first = _newest_first(pointer)
    shown = ", ".join(f"step {ref.step} ({ref.name})" for ref in newest_first[:NAMES_MAX])
    more = len(newest_first) - NAMES_MAX
    return f"{shown} and {more} more" if more > 0 else shown


def _newest_first(pointer: Pointer) -> list[ManifestRef]:
    return sorted(pointer.kept, key=lambda ref: ref.name, reverse=True)


# looking


def checkpoints(bucket: Bucket, job: Job) -> list[dict[str, Any]]:
    """What the pointer lists, newest first, each with what its manifest says. Raises OutlastError."""
    pointer = pointer_of(bucket, job)
    if pointer is None:
        return []
    wishes = _wishes(bucket)
    return [row(bucket, job, ref, pointer, wishes) for ref in _newest_first(pointer)]


def row(
    bucket: Bucket, job: Job, ref: ManifestRef, pointer: Pointer, wishes: frozenset[str]
) -> dict[str, Any]:
    value: dict[str, Any] = {
        "name": ref.name,
        "step": ref.step,
        "head": ref == pointer.head,
        "pinned": ref.name in pointer.pinned,
        "pin": pin_state(pointer, ref.name, wishes),
        "problem": "",
    }
    try:
        manifest = read_manifest(bucket, ref, job.owner, job.id)
    except BadManifest as error:
        return {**value, "problem": str(error)}
    return {
        **value,
        "generation": manifest.generation,
        "at": manifest.at,
        "files": len(manifest.files),
        "bytes": manifest.bytes,
        "kind": manifest.kind,
        "confidence": manifest.confidence.value,
        "final": manifest.final,
        "revision": manifest.revision,
        "parent": manifest.parent.name if manifest.parent else None,
        "gate": manifest.gate,
    }


def manifest_of(bucket: Bucket, job: Job, ref: ManifestRef) -> Manifest:
    """Raises OutlastError when it does not verify."""
    try:
        return read_manifest(bucket, ref, job.owner, job.id)
    except BadManifest as error:
        raise OutlastError(
            f"checkpoint {ref.name} of {job.name} can't be used: {error}; see `outlast checkpoints verify`"
        ) from error


# pins: wishes, until the pointer lists them


def _wishes(bucket: Bucket) -> frozenset[str]:
    """Names of `pins/`, those of the program's own holds included."""
    return frozenset(info.key.removeprefix(PINS) for info in bucket.list(PINS))


def pin_state(pointer: Pointer, name: str, wishes: frozenset[str]) -> str:
    """One of: gone, pinned, pin wished, unpin wished, held (by the program itself), "" for none."""
    if name not in {ref.name for ref in pointer.kept}:
        return "gone"
    wished = name in wishes
    if name in pointer.pinned:
        held = any(wish.startswith(name + HOLDER_SIGN) for wish in wishes)
        return "pinned" if wished else "held" if held else "unpin wished"
    return "pin wished" if wished else ""


def pin_answer(bucket: Bucket, job: Job, name: str) -> dict[str, Any]:
    pointer = pointer_of(bucket, job)
    if pointer is None:
        raise UserError(f"{job.name} has no checkpoint yet")
    return {
        "name": name,
        "step": _number(name.partition("-")[0]),
        "pin": pin_state(pointer, name, _wishes(bucket)),
        "running": pointer.state is PointerState.RUNNING,
    }


def wish_pin(bucket: Bucket, job: Job, which: str) -> dict[str, Any]:
    """Puts the wish down, and then looks again: it may have left meanwhile."""
    ref = choose(pointer_of(bucket, job), which, job)
    bucket.put(pin_key(ref.name), b"")
    answer = pin_answer(bucket, job, ref.name)
    if answer["pin"] == "gone":
        bucket.delete(pin_key(ref.name))
    return answer


def wish_no_pin(bucket: Bucket, job: Job, which: str) -> dict[str, Any]:
    """Takes the wish away; "" means the only one that is wished. Raises UserError."""
    pointer, wishes = pointer_of(bucket, job), _wishes(bucket)
    mine = sorted(wish for wish in wishes if HOLDER_SIGN not in wish)
    if not which and len(mine) == 1:
        name = mine[0]
    elif not which:
        if not mine:
            raise UserError(f"{job.name} has no pinned checkpoint")
        raise UserError(f"{job.name} has {len(mine)} pins: name one with --step ({', '.join(mine)})")
    else:
        # A wish for what has left can be taken back too.
        name = which if which in mine else choose(pointer, which, job).name
    if name not in mine and any(wish.startswith(name + HOLDER_SIGN) for wish in wishes):
        raise UserError(
            f"checkpoint {name} of {job.name} is not pinned: it is held until the restart from it has begun"
        )
    if name not in mine and (pointer is None or name not in pointer.pinned):
        raise UserError(f"checkpoint {name} of {job.name} is not pinned")
    bucket.delete(pin_key(name))
    return pin_answer(bucket, job, name)


# verifying


@dataclass
class Verification:
    """Compares checkpoints with the bytes in the bucket, and finds what a resume would take."""

    bucket: Bucket
    job: Job
    pointer: Pointer
    examiner: Examiner = field(init=False)
    problems: dict[str, str] = field(default_factory=dict)  # manifest key → what is wrong, "" for nothing
    manifests: dict[str, Manifest] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.examiner = Examiner(self.bucket)

    def lines(self, refs: Sequence[ManifestRef]) -> Iterator[bytes]:
        """JSON lines: progress, one verdict a checkpoint, and last what a resume would take."""
        try:
            for ref in refs:
                yield from map(_line, self._examine(ref, asked=True))
            yield from map(_line, self._resume())
        except BucketError as error:
            yield _line({"trouble": f"the bucket could not be read, so nothing is known: {error}"})

    def _examine(self, ref: ManifestRef, *, asked: bool) -> Iterator[dict[str, Any]]:
        about = {"name": ref.name, "step": ref.step, "head": ref == self.pointer.head, "asked": asked}
        if ref.key in self.problems:
            return
        try:
            manifest = read_manifest(self.bucket, ref, self.job.owner, self.job.id)
        except BadManifest as error:
            self.problems[ref.key] = str(error)
            yield {**about, "bytes": 0, "problem": str(error)}
            return
        self.manifests[ref.key] = manifest
        about |= {"bytes": manifest.bytes, "files": len(manifest.files)}
        yield {**about, "done_bytes": 0}
        told = 0
        for seen in self.examiner.examine(manifest):
            if isinstance(seen, str):
                self.problems[ref.key] = seen
                yield {**about, "problem": seen}
            elif seen - told >= TOLD_EVERY_BYTES:
                told = seen
                yield {**about, "done_bytes": seen}

    def _resume(self) -> Iterator[dict[str, Any]]:
        """Goes the way that a restore goes: head, then parents, until one verifies."""
        ref, tried = self.pointer.head, dict[str, str]()
        if ref is None or (ref.key not in self.problems and not any(self.problems.values())):
            return
        while ref is not None:
            yield from self._examine(ref, asked=False)
            if not self.problems[ref.key]:
                why = "the head" if not tried else "the nearest one before the head that verifies"
                yield {"resume": {"name": ref.name, "step": ref.step}, "why": why}
                return
            tried[ref.key] = self.problems[ref.key]
            ref = fall_back(self.pointer, ref, self.manifests.get(ref.key), tried)
        yield {"resume": None, "why": "nothing on the head's chain verifies: the job would stop and tell"}


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"
