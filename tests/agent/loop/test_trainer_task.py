"""What is told when a trainer is about to start."""

from __future__ import annotations

from outlast.clock import SystemRuntime
from outlast.news import FactSeen, Started
from outlast.node_ports import TrainerExit, TrainerOrder, TrainerProgress
from outlast.protocol.messages import Work
from outlast.tasks.trainer import MOVED_TOLD_MAX, TrainerTask
from outlast.trainer_contract import SaveRequest

WAIT_S = 20.0


class Idle:
    """A trainer that starts, and does nothing."""

    def start(self, order: TrainerOrder) -> None: ...

    def ask_save(self, request: SaveRequest) -> bool:
        return False

    def withdraw_save(self) -> None: ...

    def poll(self) -> TrainerExit | None:
        return None

    def pids(self) -> tuple[int, ...]:
        return ()

    def progress(self) -> TrainerProgress:
        return TrainerProgress()

    def kill(self, grace_s: float) -> bool:
        return True


class Aside:
    """Saves of which so many are moved aside at the start."""

    def __init__(self, count: int) -> None:
        self._count = count

    def begin(self, *_what: object) -> tuple[str, ...]:
        return tuple(f"step-{number} moved to aside" for number in range(self._count))


def test_hundreds_of_saves_that_are_moved_aside_are_a_few_lines() -> None:
    for count, lines in ((0, 0), (2, 2), (300, MOVED_TOLD_MAX + 1)):
        runtime = SystemRuntime()
        mailbox = runtime.mailbox()
        task = TrainerTask(runtime, Idle(), Aside(count), mailbox.put, 3600.0)  # type: ignore[arg-type]
        task.start(TrainerOrder("true", {}, 1), Work("job", "own", 1, "true"), None, "g1")
        told: list[str] = []
        while isinstance(news := mailbox.get(WAIT_S), FactSeen):
            told.append(news.why)
        assert isinstance(news, Started)
        assert len(told) == lines
    assert told[-1] == "moved aside before the start: 297 more, the last: step-299 moved to aside"
