"""Three tasks that talk: reports, the hanging request for commands, the status object in the bucket."""

from __future__ import annotations

from outlast.cadence import retry_in_s
from outlast.news import ReportAnswered, ReportFailed, StatusDone, Told, Wrote
from outlast.ports import Bucket, BucketError, Keyless, Link, LinkDown, LinkRefused, Runtime
from outlast.protocol.codec import dump
from outlast.protocol.messages import Report, WriterRef
from outlast.tasks.desk import Desk, Post

HANG_RETRY_MAX_S = 4.0


class ReportTask:
    def __init__(self, runtime: Runtime, link: Link, post: Post) -> None:
        self._runtime = runtime
        self._link = link
        self._post = post
        self._desk = Desk(runtime, "report")

    def send(self, report: Report, asking: WriterRef | None) -> None:
        """`asking`: RUN in the very answer to this report is the permission to claim."""
        self._desk.give(lambda: self._send(report, asking))

    def _send(self, report: Report, asking: WriterRef | None) -> None:
        sent_s = self._runtime.boot_s()
        try:
            reply = self._link.report(report)
        except (LinkDown, LinkRefused) as error:
            self._post(ReportFailed(str(error)))
            return
        if self._link.witness:
            self._post(Wrote(sent_s))
        self._post(ReportAnswered(reply, asking))


class HangTask:
    """Holds one request, so that the controller sees at once when this node's connection ends.

    That it ends without an answer means nothing here: reports tell whether the controller is there.
    """

    def __init__(self, runtime: Runtime, link: Link, post: Post, hang_s: float) -> None:
        self._runtime = runtime
        self._link = link
        self._post = post
        self._hang_s = hang_s
        runtime.spawn("hang", self._run)

    def _run(self) -> None:
        failures = 0
        while True:
            try:
                reply = self._link.hang(self._hang_s)
            except (LinkDown, LinkRefused):
                failures += 1
                pause_s = min(HANG_RETRY_MAX_S, retry_in_s(failures))
                self._runtime.sleep(pause_s * (0.5 + self._runtime.uniform() / 2))
                continue
            failures = 0
            if reply is not None:
                self._post(Told(reply))


class StatusTask:
    """Writes the status object: what a controller that comes back finds, and what renews the lease alone."""

    def __init__(self, runtime: Runtime, bucket: Bucket, post: Post) -> None:
        self._bucket = bucket
        self._post = post
        self._desk = Desk(runtime, "status")

    def write(self, key: str, report: Report) -> None:
        self._desk.give(lambda: self._write(key, report))

    def _write(self, key: str, report: Report) -> None:
        try:
            self._bucket.put(key, dump(report))
        except BucketError as error:
            self._post(StatusDone(str(error), keyless=isinstance(error, Keyless)))
        else:
            self._post(StatusDone())
