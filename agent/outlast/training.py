"""What any training loop may call: `should_save()`, `log()`, `done()`. Works with and without an agent."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from outlast import trainer_contract as contract
from outlast.protocol.codec import FormatError
from outlast.trainer_contract import Done, Progress, SaveAnswer, SaveRequest

_log = logging.getLogger("outlast")


class CheckpointError(Exception):
    """A checkpoint that can't be written or used; the message says what, where, and how to mend it."""


class Preempted(SystemExit):
    """The machine is being taken and everything is saved: leave with code 0.

    A SystemExit, so that it ends the process without a traceback and passes `except Exception`.
    """

    def __init__(self, why: str = "") -> None:
        super().__init__(0)
        self.why = why


class Contact:
    """The trainer's end of the contract with the agent. Without an agent every call does nothing."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._request_path = environ.get(contract.SAVE_REQUEST)
        self._answer_path = environ.get(contract.SAVE_ANSWER)
        self._progress_path = environ.get(contract.PROGRESS)
        self._done_path = environ.get(contract.DONE)
        self._progress: int | None = None
        self._read: tuple[int, int] | None = None
        self._request: SaveRequest | None = None
        self._answered = ""
        self.step: int | None = None
        self._saving: SaveRequest | None = None  # should_save() said yes, and was not called again yet

    def request(self) -> SaveRequest | None:
        """The agent's wish, until it is answered. Costs one look at a file that is mostly not there."""
        if self._request_path is None:
            return None
        self._say_that_we_look()
        try:
            info = os.stat(self._request_path)
            if (info.st_ino, info.st_mtime_ns) != self._read:
                self._request = contract.read_request(Path(self._request_path).read_bytes())
                self._read = (info.st_ino, info.st_mtime_ns)
        except FileNotFoundError:
            self._request = self._read = None
        except FormatError as error:
            _log.warning("the save request at %s can't be read: %s", self._request_path, error)
            self._request = None
        if self._request is not None and self._request.id == self._answered:
            return None
        return self._request

    def answer(self, request: SaveRequest, step: int | None, path: str = "", *, leaving: bool) -> None:
        self._answered = request.id
        if self._answer_path is not None:
            answer = SaveAnswer(request.id, step, path, leaving)
            try:
                _replace(Path(self._answer_path), contract.answer_bytes(answer))
            except OSError as error:
                _log.warning("the save could not be told at %s: %s", self._answer_path, error)

    def should_save(self) -> bool:
        """See the function of this name."""
        if self._saving is not None:
            finished, self._saving = self._saving, None
            self.answer(finished, self.step, leaving=finished.final)
            if finished.final:
                raise Preempted(finished.why)
        self._saving = self.request()
        return self._saving is not None

    def log(self, step: int | None, metrics: Mapping[str, float]) -> None:
        self.step = step if step is not None else self.step
        self._append(contract.progress_of(step, {name: float(value) for name, value in metrics.items()}))

    def stalled(self, seconds: float) -> None:
        """A save has made the training wait for so long: under `every: auto` the interval follows from it."""
        self._append(Progress(stall_s=seconds))

    def done(self) -> None:
        if self._done_path is not None:
            _replace(Path(self._done_path), contract.done_bytes(Done(self.step)))

    def _say_that_we_look(self) -> None:
        try:
            self._open_progress()
        except OSError as error:
            _log.warning("progress can't be written to %s: %s", self._progress_path, error)

    def _open_progress(self) -> None:
        """The first line says that we look at the request file ourselves: no signal is needed."""
        if self._progress is None and self._progress_path is not None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._progress = os.open(self._progress_path, flags, 0o644)
            self._append(Progress(polls=True, pid=os.getpid()))

    def _append(self, progress: Progress) -> None:
        if self._progress_path is None:
            return
        try:
            self._open_progress()
            assert self._progress is not None
            os.write(self._progress, contract.progress_line(progress))
            if os.fstat(self._progress).st_size > contract.PROGRESS_BYTES_MAX:
                os.replace(self._progress_path, self._progress_path + ".1")
                os.close(self._progress)
                self._progress = None
                self._open_progress()
        except OSError as error:
            # A full disk must not end a training for the sake of a progress line.
            _log.warning("progress could not be written to %s: %s", self._progress_path, error)


def _replace(path: Path, body: bytes) -> None:
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    fresh.write_bytes(body)
    os.replace(fresh, path)


_contacts: list[Contact] = []


def contact() -> Contact:
    """This process's contact, made on first use from its environment."""
    if not _contacts:
        _contacts.append(Contact(os.environ))
    return _contacts[0]


def should_save() -> bool:
    """True once for each save that the agent asks for: save now, in any format, then go on calling this.

    The next call tells the agent that the save is on disk; when the machine is being taken, it then
    raises Preempted, so that no step is trained that would be lost. Call it once a step.
    """
    return contact().should_save()


def log(*, step: int | None = None, **metrics: float) -> None:
    """Tells the last finished step, and numbers worth a curve."""
    contact().log(step, metrics)


def done() -> None:
    """The work is finished: exit code 0 now means success, even if a save was just asked for."""
    contact().done()
