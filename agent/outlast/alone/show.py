"""Shows a lone agent's work: the trainer's own output on stdout, a line of progress on stderr."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO

from outlast.alone.link import Told
from outlast.ports import Runtime
from outlast.protocol.messages import Report

EVERY_S = 0.2
LIVE_EVERY_S = 1.0
LINE_EVERY_S = 300.0  # where lines stay: news at once, the rest this often
READ_BYTES = 256 << 10
OURS = b"[outlast] "
OUR_LINE = re.compile(rb"\[outlast\] [^\n]*\n")
CLEAR = b"\r\x1b[K"
WIDTH = 120
MINUTE_S, HOUR_S = 60, 3600

# What people want to see as it happens; all of it is in the log.
SHOWN = frozenset(
    {
        "", "trainer.started", "trainer.exited", "restore.done", "save.discarded", "save.quarantined",
        "checkpoint.committed", "notice.seen", "notice.withdrawn", "storage.trouble", "storage.mended",
        "agent.fenced", "tell",
    }
)  # fmt: skip


class Show:
    """In a task of its own: a terminal that is held must never hold the agent.

    `live`: stderr is a terminal, and one line there is written over and over.
    """

    def __init__(self, runtime: Runtime, log: Path, out: BinaryIO, err: BinaryIO, *, live: bool) -> None:
        """What the log file holds already is not shown."""
        self._runtime = runtime
        self._log = log
        self._out: BinaryIO | None = out
        self._err: BinaryIO | None = err
        self._live = live
        self._inbox = runtime.mailbox()
        self._ended = runtime.mailbox()
        self._told: Told | None = None  # one immutable value, replaced as a whole: an old one is of no use
        self._offset = log.stat().st_size if log.exists() else 0
        self._held = b""  # the begin of what may be a line of ours
        self._line = ""
        self._line_s = float("-inf") if live else runtime.monotonic_s()
        runtime.spawn("show", self._run)

    def seen(self, told: Told) -> None:
        self._told = told

    def note(self, kind: str, text: str) -> None:
        if kind in SHOWN:
            self._inbox.put(f"{kind}: {text}" if kind else text)

    def finish(self, limit_s: float) -> None:
        """Shows what is left."""
        self._inbox.put(False)
        self._ended.get(limit_s)

    def _run(self) -> None:
        while True:
            item = self._inbox.get(EVERY_S)
            self._echo()
            if item is False:
                self._write(self._held)
                self._say(CLEAR if self._live and self._line else b"")
                self._ended.put(True)
                return
            if isinstance(item, str):
                self._say((CLEAR if self._live else b"") + f"outlast: {item}\n".encode())
                self._cleared()
            self._progress()

    def _echo(self) -> None:
        """The trainer writes straight into the log file; the agent's own lines stay in there."""
        while True:
            try:
                with self._log.open("rb") as file:
                    data = os.pread(file.fileno(), READ_BYTES, self._offset)
            except OSError:
                return
            if not data:
                return
            self._offset += len(data)
            shown = self._without_ours(data)
            if shown and self._live and self._line:
                self._say(CLEAR)
                self._cleared()
            self._write(shown)

    def _cleared(self) -> None:
        """Other text took the place of the line: on a terminal it comes back at once."""
        self._line = ""
        if self._live:
            self._line_s = float("-inf")

    def _without_ours(self, data: bytes) -> bytes:
        """A line of ours stands wherever the trainer had got to, and its end may not have been read yet."""
        text = OUR_LINE.sub(b"", self._held + data)
        begun = text.rfind(OURS)
        if begun < 0:
            last = range(max(0, len(text) - len(OURS)), len(text))
            begun = next((at for at in last if OURS.startswith(text[at:])), len(text))
        self._held = text[begun:]
        return text[:begun]

    def _progress(self) -> None:
        told, now_s = self._told, self._runtime.monotonic_s()
        if told is None:
            return
        line = progress_line(told.report, told.words)
        if self._live and now_s - self._line_s >= LIVE_EVERY_S and line != self._line:
            self._say(CLEAR + line[:WIDTH].encode())
        elif not self._live and now_s - self._line_s >= LINE_EVERY_S and line != self._line:
            self._say(f"outlast: {line}\n".encode())
        else:
            return
        self._line, self._line_s = line, now_s

    def _write(self, data: bytes) -> None:
        if self._out is not None and data and not _wrote(self._out, data):
            self._out = None  # the reader is gone; the log has it all

    def _say(self, data: bytes) -> None:
        if self._err is not None and data and not _wrote(self._err, data):
            self._err = None


def _wrote(stream: BinaryIO, data: bytes) -> bool:
    try:
        stream.write(data)
        stream.flush()
    except (OSError, ValueError):
        return False
    return True


def progress_line(report: Report, words: str) -> str:
    """Step, what is durable and since when, what is on its way, what is wrong."""
    save = report.save
    parts = [report.state.value if report.step is None else f"step {report.step}"]
    if save.durable is not None:
        since = "" if save.durable_age_s is None else f", {age(save.durable_age_s)} ago"
        parts.append(f"durable: step {save.durable.step}{since}")
    elif report.step is not None:
        parts.append("nothing durable yet")
    if save.uploading_step is not None:
        share = f" {100 * save.uploaded_bytes / save.upload_bytes:.0f} %" if save.upload_bytes else ""
        parts.append(f"uploading step {save.uploading_step}{share}")
    if save.refused:
        parts.append(f"{save.refused} quarantined in a row")
    if save.trouble:
        parts.append(f"trouble for {age(save.trouble_age_s or 0.0)}: {save.trouble}")
    parts.append(words or report.why)
    return " · ".join(part for part in parts if part)


def age(seconds: float) -> str:
    whole = int(max(0.0, seconds))
    if whole < 2 * MINUTE_S:
        return f"{whole} s"
    if whole < 2 * HOUR_S:
        return f"{whole // MINUTE_S} min"
    return f"{whole // HOUR_S} h"
