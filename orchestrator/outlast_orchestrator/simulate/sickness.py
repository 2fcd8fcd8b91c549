"""Trainings whose state goes bad: one save, one attempt, or from a certain step on, whoever trains it."""

from __future__ import annotations

from dataclasses import dataclass, field

BAD = "bad"  # the state of a training whose numbers are lost: every step makes the same of it

Poisons = dict[str, int]  # job → from this step on its state is bad


@dataclass
class Sickness:
    """Of the trainer on one machine. `poisons` is shared by all machines."""

    poisons: Poisons = field(default_factory=dict)
    lost: bool = False  # until the trainer ends: a new one from a good checkpoint is healthy
    spoils: bool = False  # the next save, and no other

    def begin(self, state: str) -> None:
        self.lost, self.spoils = state == BAD, False

    def after(self, job: str, step: int, state: str) -> str:
        """The state that this step has really left."""
        self.lost = self.lost or step >= self.poisons.get(job, step + 1)
        return BAD if self.lost else state

    def saved(self, state: str) -> str:
        """What of it is in the save that is made now."""
        spoils, self.spoils = self.spoils, False
        return BAD if spoils else state

    @property
    def well(self) -> bool:
        return not self.lost and not self.spoils
