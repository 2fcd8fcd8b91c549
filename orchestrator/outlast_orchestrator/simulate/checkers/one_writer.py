"""A generation has one writer, and a writer lives on one machine."""

from __future__ import annotations

from outlast_orchestrator.simulate.checkers.base import Checker, Move, machine_of


class OneWriter(Checker):
    name = "one writer a generation"

    def __init__(self) -> None:
        super().__init__()
        self._writers: dict[tuple[str, int], str] = {}
        self._machines: dict[tuple[str, str], str] = {}

    def moved(self, move: Move) -> None:
        job, by, after = move.job, move.by, move.after
        writer = self._writers.setdefault((job, after.generation), after.writer)
        if writer != after.writer:
            self.broken(f"{job}: generation {after.generation} was written by {writer} and {after.writer}")
        machine = self._machines.setdefault((job, after.writer), machine_of(by) or by)
        if machine != (machine_of(by) or by):
            self.broken(f"{job}: writer {after.writer} wrote from {machine} and from {by}")
