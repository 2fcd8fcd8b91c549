"""Tasks that look without being asked: the notice poller, and the watchdog that looks at the pointer."""

from __future__ import annotations

from dataclasses import dataclass

from outlast.bucket.generations import read_pointer
from outlast.bucket.outcomes import Identity as Writer
from outlast.bucket.outcomes import Stop
from outlast.bucket.pointer import BadPointer, judge_own
from outlast.bucket.status import read_status
from outlast.news import LeaderSeen, Looked, NoticesSeen, NoticesUnknown, StraySeen
from outlast.node_ports import NoticeSeen, NoticeSource, NoticeUnknown
from outlast.ports import Bucket, BucketError, Runtime
from outlast.protocol.codec import FormatError
from outlast.protocol.messages import WriterRef
from outlast.protocol.objects import Pointer, PointerState
from outlast.tasks.desk import Post

JITTER_SHARE = 0.2  # taken off a period, never added
FAILED_LOOK_AGAIN_S = 2.0
UNKNOWN_AFTER = 3  # polls in a row: the service may be away for a moment


class NoticeTask:
    """Polls the cloud's notices; posts only what is new."""

    def __init__(self, runtime: Runtime, source: NoticeSource, post: Post, every_s: float) -> None:
        self._runtime = runtime
        self._source = source
        self._post = post
        self._every_s = every_s
        runtime.spawn("notices", self._run)

    def _run(self) -> None:
        told: tuple[tuple[str, str], ...] | None = ()
        failures = 0
        while True:
            try:
                seen = self._source.poll()
            except NoticeUnknown as error:
                failures += 1
                if failures == UNKNOWN_AFTER:
                    self._post(NoticesUnknown(str(error)))
                    told = None
            else:
                failures = 0
                if (now := _shape(seen)) != told:
                    told = now
                    self._post(NoticesSeen(seen))
            self._runtime.sleep(self._every_s * (1 - JITTER_SHARE * self._runtime.uniform()))


def _shape(seen: tuple[NoticeSeen, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((notice.kind, notice.detail) for notice in seen)


@dataclass(frozen=True)
class Target:
    """What to look for: `me` only from when its claim is known to be applied until it is over."""

    me: Writer | None = None
    past: tuple[WriterRef, ...] = ()


class WatchdogTask:
    """Reads the pointer when a deadline of the boot clock has passed: after a freeze, first of all.

    A read that begins after the claim was applied can only show our writer, what we made of it, or that
    we are fenced. It never writes, so it needs no turn in the pointer's task, which may hang in a request.
    """

    def __init__(
        self, runtime: Runtime, bucket: Bucket, job: str, post: Post, every_s: float, slice_s: float
    ) -> None:
        """`slice_s`: a frozen machine's timers stand still, so the boot clock is looked at this often."""
        self._runtime = runtime
        self._slice_s = slice_s
        self._bucket = bucket
        self._job = job
        self._post = post
        self._every_s = every_s
        self._inbox = runtime.mailbox()
        self._target = Target()
        runtime.spawn("watchdog", self._run)

    def aim(self, target: Target) -> None:
        self._inbox.put(target)

    def _run(self) -> None:
        due_s = self._runtime.boot_s() + self._every_s
        while True:
            wait_s = min(max(0.0, due_s - self._runtime.boot_s()), self._slice_s)
            target = self._inbox.get(wait_s)
            if target is not None:
                self._target = target
            now_s = self._runtime.boot_s()
            if now_s >= due_s:
                done = self._look(self._target)
                due_s = now_s + (self._every_s if done else min(FAILED_LOOK_AGAIN_S, self._every_s))

    def _look(self, target: Target) -> bool:
        if target.me is None and not target.past:
            return True
        found: Pointer | None = None
        try:
            read = read_pointer(self._bucket, None, self._job)
        except BadPointer as error:
            if target.me is not None:
                self._post(Looked(target.me.generation, Stop(str(error))))
            return True
        except BucketError:
            return False  # uploads and status show the trouble; the lease judges how long it may last
        if read is not None:
            found = read[0]
        if target.me is not None:
            self._post(Looked(target.me.generation, judge_own(found, target.me, None, True)))
        if found is not None and found.state is PointerState.RUNNING:
            writer = WriterRef(found.generation, found.writer)
            if writer in target.past:
                self._post(StraySeen(writer))
        return True


@dataclass(frozen=True)
class Leader:
    """The first node of the gang that this node follows, by what it writes."""

    generation: int
    writer: str


class LeaderTask:
    """Reads the status object of the gang's first node, and posts what is new in it."""

    def __init__(self, runtime: Runtime, bucket: Bucket, post: Post, every_s: float) -> None:
        self._bucket = bucket
        self._post = post
        self._every_s = every_s
        self._inbox = runtime.mailbox()
        self._leader: Leader | None = None
        self._told: LeaderSeen | None = None
        runtime.spawn("leader", self._run)

    def aim(self, leader: Leader | None) -> None:
        self._inbox.put((leader,))

    def _run(self) -> None:
        while True:
            order = self._inbox.get(None if self._leader is None else self._every_s)
            if order is not None:
                self._leader, self._told = order[0], None
            if self._leader is not None:
                self._look(self._leader)

    def _look(self, leader: Leader) -> None:
        try:
            report = read_status(self._bucket, leader.generation, 0)
        except (BucketError, FormatError):
            return  # the pointer is looked at as well, and the lease judges how long trouble may last
        if report is None or (report.generation, report.writer) != (leader.generation, leader.writer):
            return
        seen = LeaderSeen(leader.generation, report.state, report.save.uploading_step, report.why)
        told = self._told
        if told is None or (told.state, told.step) != (seen.state, seen.step):
            self._told = seen
            self._post(seen)
