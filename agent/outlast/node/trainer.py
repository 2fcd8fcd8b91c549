"""The trainer on a real machine: the user's command under a keeper, its control files and its progress."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from outlast.environment.venv import activated
from outlast.node import processes
from outlast.node.home import Home, write_atomic
from outlast.node.kept import Kept, end_leftover
from outlast.node.logs import FileLog
from outlast.node.secrets import SecretBox, inherited
from outlast.node_ports import NodeTrouble, TrainerExit, TrainerOrder, TrainerProgress
from outlast.protocol.codec import FormatError
from outlast.save.progress import ProgressTail
from outlast.trainer_contract import (
    ALL,
    DONE,
    FILE_NAMES,
    PROGRESS,
    SAVE_ANSWER,
    SAVE_REQUEST,
    SaveAnswer,
    SaveRequest,
    read_answer,
    request_bytes,
)

OURS = (*ALL, "OUTLAST_POWEROFF", "OUTLAST_TREE")  # not for the trainer, or given anew


class ProcessTrainer:
    """One at a time. Everything but `pids` is called from the trainer's task."""

    def __init__(self, home: Home, log: FileLog, path: str = "", secrets: SecretBox | None = None) -> None:
        """`path` ends the trainer's PYTHONPATH: what it has there itself comes first."""
        self._home = home
        self._path = path
        self._secrets = secrets or SecretBox()
        self._log = log
        self._kept: Kept | None = None
        self._exit: TrainerExit | None = None
        self._folder = home.attempts
        self._tail: ProgressTail | None = None
        self._progress = TrainerProgress()
        self._signal = 0
        self._asked = ""  # id of the last request

    def start(self, order: TrainerOrder) -> None:
        folder = self._home.attempt_dir(order.generation)
        try:
            self._signal = processes.signal_named(order.signal) if order.signal else 0
        except ValueError as error:
            raise NodeTrouble("trainer", f"checkpoint.signal: {error}", fatal=True) from error
        env = inherited(OURS)
        env.update(order.env)
        env.update(self._secrets.environment())
        path = self._path
        if order.environment:
            env = activated(env, order.environment)
            path = path or self._home.own_package()
        if path:
            env["PYTHONPATH"] = ":".join(one for one in (env.get("PYTHONPATH"), path) if one)
        cwd = Path(order.work_dir)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in FILE_NAMES.values():
                (folder / name).unlink(missing_ok=True)
            self._kept = Kept(
                order.command,
                env=env,
                cwd=cwd,
                output=self._log.descriptor,
                lock=self._home.trainer_lock,
                mark=f"g{order.generation}-{os.getpid()}",
            )
        except OSError as error:
            raise NodeTrouble("trainer", f"the trainer can't be started in {cwd}: {error}") from error
        self._folder, self._exit, self._progress = folder, None, TrainerProgress()
        self._tail = ProgressTail(folder / FILE_NAMES[PROGRESS])

    def ask_save(self, request: SaveRequest) -> bool:
        self._asked = request.id
        try:
            write_atomic(self._folder / FILE_NAMES[SAVE_REQUEST], request_bytes(request), durable=False)
        except OSError as error:
            raise NodeTrouble("trainer", f"the request can't be written: {error}") from error
        self.progress()
        kept = self._kept
        if self._progress.polls or not self._signal or kept is None or kept.poll() is not None:
            return False
        main = processes.main_of(kept.pid)
        if not processes.catches(main, self._signal):
            return False  # it has no handler: the signal would end it
        processes.send([main], self._signal)
        return True

    def withdraw_save(self) -> None:
        with suppress(OSError):
            (self._folder / FILE_NAMES[SAVE_REQUEST]).unlink(missing_ok=True)

    def poll(self) -> TrainerExit | None:
        if self._exit is None and self._kept is not None:
            code = self._kept.poll()
            if code is not None:
                self._exit = TrainerExit(code, self._log.tail() if code != 0 else "")
        return self._exit

    def pids(self) -> tuple[int, ...]:
        kept = self._kept
        return kept.pids() if kept is not None else ()

    def progress(self) -> TrainerProgress:
        if self._tail is None:
            return self._progress
        for line in self._tail.read():
            self._progress = replace(
                self._progress,
                step=self._progress.step if line.step is None else line.step,
                metrics={**self._progress.metrics, **line.metrics},
                polls=self._progress.polls or line.polls,
                stall_s=self._progress.stall_s if line.stall_s is None else line.stall_s,
            )
        answer = self._answer()
        done = (self._folder / FILE_NAMES[DONE]).exists()
        self._progress = replace(self._progress, answer=answer, done=done)
        return self._progress

    def kill(self, grace_s: float) -> bool:
        """With no trainer of this process: ends what an earlier life of the agent left."""
        if self._kept is None:
            return end_leftover(self._home.trainer_lock)
        if not self._kept.end(grace_s):
            return False
        self.progress()
        if self._exit is None:
            code = self._kept.code
            self._exit = TrainerExit(137 if code is None else code, self._log.tail())
        self._kept = None
        return True

    def _answer(self) -> SaveAnswer | None:
        try:
            answer = read_answer((self._folder / FILE_NAMES[SAVE_ANSWER]).read_bytes())
        except (OSError, FormatError):
            return None
        return answer if answer.id == self._asked else None
