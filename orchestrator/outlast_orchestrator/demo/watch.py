"""Follows the demo's job: events and status by Outlast's word, steps by the trainer's own."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from outlast_orchestrator.cli.exits import NoServer, Refused
from outlast_orchestrator.demo.stage import Stage


@dataclass(frozen=True)
class Line:
    """One line that the trainer itself wrote, outside the machines and unknown to Outlast."""

    kind: str  # start, step
    generation: int
    step: int  # of a start: the last finished step of what it resumed from, -1 for none
    at: float
    state: str  # hash of the whole training state after that step
    loss: float | None = None


def read_track(path: Path) -> list[Line]:
    """All whole lines; a trainer that dies in the middle of one leaves no newline."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")[:-1]
    found = []
    for text in lines:
        value = json.loads(text)
        found.append(
            Line(
                value["kind"],
                value["generation"],
                value["step"],
                value["at"],
                value["state"],
                value.get("loss"),
            )
        )
    return found


@dataclass
class Watch:
    """What is known so far; `look` brings it up to date."""

    stage: Stage
    job: str
    events: list[dict[str, Any]] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)
    reachable: bool = True

    def look(self) -> None:
        after = self.events[-1]["seq"] if self.events else 0
        self.events += self.stage.events(self.job, after)
        try:
            self.status = self.stage.status(self.job)
            self.reachable = True
        except (NoServer, Refused):
            self.reachable = False

    @property
    def state(self) -> str:
        return str(self.status.get("state", "PENDING"))

    @property
    def is_over(self) -> bool:
        return bool(self.status.get("over"))

    def count(self, kind: str, generation: int | None = None) -> int:
        return sum(1 for e in self.events if e["kind"] == kind and generation in (None, e["attempt"]))

    def machine(self, generation: int) -> str | None:
        """The cloud's id of the machine of a generation, by the cloud's own word."""
        attempt = next((a for a in self.status.get("attempts", []) if a["generation"] == generation), None)
        if attempt is None or not attempt["launches"]:
            return None
        launch = attempt["launches"][0]
        for instance in self.stage.cloud.instances():
            if instance["launch_id"] == launch:
                return str(instance["id"])
        return None

    def generation(self) -> int:
        """The one that owns the job, by the pointer."""
        pointer = self.stage.pointer(self.job)
        return int(pointer["generation"]) if pointer is not None else 0

    def steps_of(self, generation: int) -> int:
        """How many steps the trainer of this generation has finished, by its own word."""
        lines = read_track(self.stage.track)
        return sum(1 for line in lines if line.kind == "step" and line.generation == generation)
