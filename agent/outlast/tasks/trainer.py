"""The trainer's task: starts it, looks at it, asks it for saves and ends it."""

from __future__ import annotations

from outlast.news import FactSeen, Killed, SaveAsked, Started, TrainerLooked
from outlast.node_ports import NodeTrouble, Saves, Trainer, TrainerOrder
from outlast.ports import Runtime
from outlast.protocol.messages import Failure, Work
from outlast.protocol.objects import Manifest
from outlast.tasks.desk import Post
from outlast.trainer_contract import SaveRequest

KILL_AGAIN_S = 0.5
MOVED_TOLD_MAX = 3


class TrainerTask:
    def __init__(self, runtime: Runtime, trainer: Trainer, saves: Saves, post: Post, every_s: float) -> None:
        self._runtime = runtime
        self._trainer = trainer
        self._saves = saves
        self._post = post
        self._every_s = every_s
        self._inbox = runtime.mailbox()
        self._generation: int | None = None
        self._told: TrainerLooked | None = None
        runtime.spawn("trainer", self._run)

    # orders

    def start(self, order: TrainerOrder, work: Work, resume: Manifest | None, label: str) -> None:
        self._inbox.put(lambda: self._start(order, work, resume, label))

    def ask_save(self, generation: int, request: SaveRequest) -> None:
        self._inbox.put(lambda: self._ask(generation, request))

    def withdraw_save(self) -> None:
        self._inbox.put(self._trainer.withdraw_save)

    def kill(self, generation: int, grace_s: float) -> None:
        self._inbox.put(lambda: self._kill(generation, grace_s))

    # in the task

    def _run(self) -> None:
        while True:
            order = self._inbox.get(None if self._generation is None else self._every_s)
            if order is not None:
                order()
            elif self._generation is not None:
                self._look(self._generation)

    def _look(self, generation: int) -> None:
        seen = TrainerLooked(generation, self._trainer.poll(), self._trainer.progress())
        if seen != self._told:
            self._told = seen
            self._post(seen)

    def _start(self, order: TrainerOrder, work: Work, resume: Manifest | None, label: str) -> None:
        try:
            self._clear(work, resume, label)
            self._trainer.start(order)
        except NodeTrouble as error:
            failure = Failure(error.phase, str(error), fatal=error.fatal, tail=error.tail)
            self._post(Started(order.generation, failure))
            return
        self._generation, self._told = order.generation, None
        self._post(Started(order.generation, None))

    def _clear(self, work: Work, resume: Manifest | None, label: str) -> None:
        """After days of saving there are hundreds: a few are told one by one, the others together."""
        lines = self._saves.begin(work, resume, label)
        for line in lines[:MOVED_TOLD_MAX]:
            self._post(FactSeen("save.discarded", f"moved aside before the start: {line}"))
        if more := len(lines[MOVED_TOLD_MAX:]):
            told = f"moved aside before the start: {more} more, the last: {lines[-1]}"
            self._post(FactSeen("save.discarded", told))

    def _ask(self, generation: int, request: SaveRequest) -> None:
        try:
            signalled = self._trainer.ask_save(request)
        except NodeTrouble as error:
            self._post(FactSeen("tell", f"a save could not be asked for: {error}"))
            signalled = False
        self._post(SaveAsked(generation, signalled))

    def _kill(self, generation: int, grace_s: float) -> None:
        """Until none is left. A process that even SIGKILL can't end keeps the attempt from being released."""
        told = False
        while not self._trainer.kill(grace_s):
            if not told:
                self._post(
                    FactSeen("tell", f"processes of the trainer can't be ended: {self._trainer.pids()}")
                )
            told, grace_s = True, 0.0
            self._runtime.sleep(KILL_AGAIN_S)
        self._generation = None
        self._post(Killed(generation, self._trainer.poll(), self._trainer.progress()))
