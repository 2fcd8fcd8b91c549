"""The environment's task: keeps what `install` made for the nodes that come, behind all that is urgent."""

from __future__ import annotations

from dataclasses import replace

from outlast.news import FactSeen
from outlast.node_ports import DEAF, Environments
from outlast.ports import Runtime
from outlast.protocol.messages import Work
from outlast.tasks.desk import Desk, Flag, Post


class EnvironmentTask:
    """There is none before the first order: most jobs have no environment."""

    def __init__(self, runtime: Runtime, environments: Environments | None, post: Post) -> None:
        self._runtime = runtime
        self._environments = environments
        self._post = post
        self._desk: Desk | None = None
        self._off = Flag()
        self._busy = False
        self._ear = replace(DEAF, fact=self._fact)

    # orders

    def keep(self, work: Work) -> None:
        """The training of the first node has begun."""
        environments = self._environments
        if environments is None or not work.install.strip():
            return
        self._off = off = Flag()
        desk = self._at_work()
        desk.give(lambda: environments.keep(work, lambda: self._busy, off, self._ear))

    def give_way(self, busy: bool) -> None:
        """A checkpoint is on its way to the bucket, or no longer."""
        self._busy = busy

    def end(self) -> None:
        """What is under way stops soon."""
        self._off.set()

    def forget(self) -> None:
        """The job is done."""
        self.end()
        if self._environments is not None and self._desk is not None:
            self._desk.give(self._environments.forget)

    # in the task

    def _at_work(self) -> Desk:
        if self._desk is None:
            self._desk = Desk(self._runtime, "environment", gives_way=True)
        return self._desk

    def _fact(self, kind: str, why: str, data: dict[str, str]) -> None:
        self._post(FactSeen(kind, why, data))
