"""A node that trains while its disk or its bucket is in trouble: how to make it, and what must hold then."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.chaos import agent_checks as check
from tests.chaos.agent_rig import Node, Rig

from outlast.protocol.messages import Permission, Report
from outlast.protocol.objects import Pointer, PointerState

STEPS = 40

Rule = dict[str, object]


def rule(ops: str, where: str, *, errno: int | None = None, short: int | None = None) -> Rule:
    """Calls of these kinds whose `bucket call | place` fits fail with that error, or do so many bytes."""
    found: Rule = {"ops": ops.split(), "where": where}
    found.update({} if errno is None else {"errno": errno}, **({} if short is None else {"short": short}))
    return found


class Training:
    """One agent whose trainer goes on and on, saving as it goes."""

    def __init__(self, folder: Path, **how: object) -> None:
        self.rig = Rig(folder)
        self.node: Node = self.rig.node("node", 1, **{"SAVES": 0, "LAST": "train", **how})
        self.node.told(Permission())

    def close(self) -> None:
        self.rig.close()

    def until(self, what: str, true: Callable[[], object]) -> object:
        try:
            return self.rig.until(what, true)
        except AssertionError as error:
            raise AssertionError(f"{error}\n\n{self.rig.story()}") from error

    # troubles of the agent's own calls

    def breaks(self, rules: Sequence[Rule]) -> None:
        """From the next call on, all of them at once."""
        fresh = self.node.faults.with_suffix(".fresh")
        fresh.write_text(json.dumps(rules))
        os.replace(fresh, self.node.faults)

    def works_again(self) -> None:
        self.node.faults.unlink()

    # what it does

    def pointer(self) -> Pointer | None:
        return self.rig.pointer()

    def head(self) -> int:
        pointer = self.pointer()
        return pointer.head.step if pointer is not None and pointer.head is not None else 0

    def step(self) -> int:
        rows = self.rig.told(1, "step")
        return int(rows[-1][0]) if rows else 0

    def report(self) -> Report:
        return self.node.controller.reports[-1]

    def saves(self) -> None:
        """The trainer's newest saves become the head, and no trouble is told."""
        at = max(self.step(), self.head())
        self.until(f"a checkpoint after step {at} is the head", lambda: self.head() > at)
        self.until("no trouble is told", lambda: self.report().save.trouble == "")

    def trains_on(self, steps: int = STEPS) -> None:
        at = self.step()
        self.until(f"it trains on from step {at}", lambda: self.step() > at + steps)
        assert not self.node.struck()
        assert self.pointer_is_mine()

    def pointer_is_mine(self) -> bool:
        pointer = self.pointer()
        return pointer is not None and (pointer.generation, pointer.state) == (1, PointerState.RUNNING)

    def says(self, *words: str) -> Report:
        """What is wrong, and for how long, as `outlast status` shows it too."""
        wanted = words or ("",)

        def told() -> bool:
            trouble = self.report().save.trouble
            return trouble != "" and all(word in trouble for word in wanted)

        self.until(f"the report says {words}", told)
        self.until("the age of the trouble grows", lambda: (self.report().save.trouble_age_s or 0) > 0.5)
        return self.report()

    def facts(self, kind: str) -> list[str]:
        """What went into the event log of that kind, each once."""
        told = {
            f.id: f.why for report in self.node.controller.reports for f in report.facts if f.kind == kind
        }
        return [told[number] for number in sorted(told)]

    def leaves(self) -> None:
        """Drained, its last step is the head."""
        self.node.drain()
        self.until("it has released", self.node.over)
        check.closure(self.rig)
        assert self.head() == self.step()


@contextmanager
def training(folder: Path, **how: object) -> Iterator[Training]:
    """It trains and has saved twice."""
    found = Training(folder, **how)
    try:
        found.node.start()
        found.until("it has saved twice", lambda: found.head() >= 20)
        yield found
    finally:
        found.close()
