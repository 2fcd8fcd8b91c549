"""What a backup of the simulated store holds."""

from __future__ import annotations

from dataclasses import dataclass

from outlast_orchestrator.core.events import Event
from outlast_orchestrator.core.types import Attempt, Block, Instance, Job, Progress


@dataclass(frozen=True)
class Backup:
    """All tables as they were at one moment."""

    term: int
    jobs: dict[str, Job]
    progress: dict[str, Progress]
    attempts: dict[tuple[str, int], Attempt]
    instances: dict[str, Instance]
    blocks: dict[str, Block]
    marks: dict[tuple[str, str], int]
    events: list[Event]
    tokens: dict[str, tuple[str, str, float]]
