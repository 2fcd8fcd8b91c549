"""Writes the pointer one change at a time, and finds out of each whether it took place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from outlast.bucket.generations import read_pointer
from outlast.bucket.outcomes import (
    Applied,
    ClaimAsk,
    ClaimVerdict,
    Fenced,
    Identity,
    Mine,
    Over,
    OwnVerdict,
    Rebase,
    Stop,
    Wait,
    Write,
)
from outlast.bucket.pointer import BadPointer, judge_claim, judge_own
from outlast.bucket.verbs import Advance, build_advance
from outlast.clock import iso
from outlast.ports import Bucket, Conflict, Exists, Missing, Runtime, Unsure
from outlast.protocol.codec import dump
from outlast.protocol.messages import Permission
from outlast.protocol.objects import POINTER_KEY, ManifestRef, Pointer

TRIES_MAX = 5
BACKOFF_FIRST_S = 0.2

Build = Callable[[Pointer], "tuple[Pointer, tuple[ManifestRef, ...]] | Rebase"]


@dataclass(frozen=True)
class Sent:
    """A write whose outcome is not known yet, with all that is needed to recognise or repeat it."""

    verb: str
    pointer: Pointer
    version: str  # of the pointer that it was built on
    leaving: tuple[ManifestRef, ...]


class PointerWriter:
    """The writes of one writer: at most one is ever in doubt. One thread calls it.

    `applied` is told exactly once of each change that took place, as soon as that is known.
    """

    def __init__(
        self, runtime: Runtime, bucket: Bucket, me: Identity, applied: Callable[[Sent], None]
    ) -> None:
        self.pointer: Pointer | None = None  # as last read or written
        self.claimed = False
        self._runtime = runtime
        self._bucket = bucket
        self._me = me
        self._applied = applied
        self._version = ""
        self._pending: Sent | None = None
        self._claims: list[Pointer] = []
        self._settled = False  # nothing that an earlier process of this writer sent can still arrive

    # reading

    def look(self) -> OwnVerdict:
        """Reads the pointer: Mine, Wait (not claimed), Over, Fenced or Stop. Raises Unsure, Denied."""
        verdict = self._read(self._pending.pointer if self._pending else None)
        if isinstance(verdict, Applied):
            assert self._pending is not None
            self._now_applied(self._pending, self._version)
            return judge_own(verdict.pointer, self._me, None, self.claimed)
        return verdict

    def _read(self, sent: Pointer | None) -> OwnVerdict:
        try:
            found = read_pointer(self._bucket, None, self._me.job)
        except BadPointer as error:
            return Stop(str(error))
        self.pointer, self._version = found if found is not None else (None, "")
        verdict = judge_own(self.pointer, self._me, sent, self.claimed)
        if isinstance(verdict, (Applied, Mine, Over)):
            self.claimed = True
        if isinstance(verdict, (Over, Fenced, Stop)):
            self._pending = None
        if self.pointer is not None and self.pointer in self._claims:
            self._settled = True
        return verdict

    # claim

    def claim(self, permission: Permission) -> ClaimVerdict:
        """One try. Before the next, ask the controller for the permission anew. Raises Unsure, Denied."""
        seen = self._read(None)
        if isinstance(seen, (Over, Fenced, Stop)):
            return seen
        ask = ClaimAsk(self._me, permission, self.at(), self.claimed)
        verdict = judge_claim(self.pointer, ask)
        if not isinstance(verdict, Write):
            return verdict
        self._claims.append(verdict.pointer)
        body, version = dump(verdict.pointer), self._version
        try:
            if self.pointer is None:
                self._version = self._bucket.create(POINTER_KEY, body)
            else:
                self._version = self._bucket.replace(POINTER_KEY, body, version)
        except (Conflict, Exists, Unsure) as error:
            return self._reread_claim(error, version)
        self.pointer, self.claimed, self._settled = verdict.pointer, True, True
        return Applied(verdict.pointer, verdict.why)

    def _reread_claim(self, error: Exception, version: str) -> ClaimVerdict:
        """After a conflict or a doubt generation and writer alone decide whether this claim took place."""
        for tried in range(TRIES_MAX):
            self._back_off(tried)
            try:
                seen = self._read(None)
            except Unsure:
                continue
            if isinstance(seen, Mine):
                return Applied(seen.pointer, "claimed")
            if not isinstance(seen, Wait):
                assert not isinstance(seen, Applied)
                return seen
            if self._version != version:
                return Wait("the pointer changed during the claim; asking anew")
        raise Unsure(f"{POINTER_KEY}: not known whether the claim took place ({error})")

    # how a change is made

    def settle(self) -> OwnVerdict:
        """Reads until no write of this writer is in doubt, those of an earlier process included."""
        for _ in range(TRIES_MAX):
            if self._pending is not None:
                self._push(self._pending)
            verdict = self.look()
            if not isinstance(verdict, Mine) or self._settled:
                return verdict
            # Whatever an earlier process sent was built on an older version: a new one shuts it out.
            self.change("start", lambda found: build_advance(found, Advance(self.at())))
        raise Unsure(f"{POINTER_KEY}: it changes faster than it can be read")

    def change(self, verb: str, build: Build) -> OwnVerdict | Rebase:
        for _ in range(TRIES_MAX):
            pending = self._pending
            if pending is not None:
                # An earlier write is in doubt. It comes first: its checkpoint must not be lost.
                verdict = self._push(pending)
                if pending.verb == verb and isinstance(verdict, Applied):
                    return verdict
            verdict = self._read(None)
            if not isinstance(verdict, Mine):
                return verdict
            built = build(verdict.pointer)
            if isinstance(built, Rebase):
                return built
            self._pending = Sent(verb, built[0], self._version, built[1])
            verdict = self._push(self._pending)
            if not isinstance(verdict, Mine):
                return verdict
        raise Unsure(f"{POINTER_KEY}: it changes faster than {verb} can be written")

    def _push(self, sent: Sent) -> OwnVerdict:
        """Writes until the write is known to be applied, or to be impossible. Raises Unsure, Denied."""
        doubt: Exception | None = None
        for tried in range(TRIES_MAX):
            self._back_off(tried)
            try:
                version = self._bucket.replace(POINTER_KEY, dump(sent.pointer), sent.version)
            except (Conflict, Missing, Unsure) as error:
                doubt = error
            else:
                return self._now_applied(sent, version)
            try:
                verdict = self._read(sent.pointer)
            except Unsure:
                continue
            if isinstance(verdict, Applied):
                return self._now_applied(sent, self._version)
            if not isinstance(verdict, Mine):
                return verdict
            if self._version != sent.version:
                # The pointer has moved on from what it was built on, so it can never be applied.
                self._pending = None
                return verdict
        raise Unsure(f"{POINTER_KEY}: not known whether {sent.verb} took place ({doubt})")

    def _now_applied(self, sent: Sent, version: str) -> Applied:
        self.pointer, self._version, self._pending = sent.pointer, version, None
        self._settled = True
        self._applied(sent)
        return Applied(sent.pointer, f"{sent.verb} took place")

    def at(self) -> str:
        return iso(self._runtime.wall_s())

    def _back_off(self, tried: int) -> None:
        if tried:
            self._runtime.sleep(BACKOFF_FIRST_S * 2 ** (tried - 1) * (0.5 + self._runtime.uniform()))
