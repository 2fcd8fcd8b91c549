"""What every node does as its trainer's life goes on, whether it is the first one or follows it. Pure."""

from __future__ import annotations

from collections.abc import Callable

from outlast.acts import Act, Decision, Kill, Settle
from outlast.view import Stage, TrainerView

LAST_LOOK = "looking for the trainer's last save"
WAITS = {Stage.STARTING: "starting the trainer", Stage.ENDING: "ending the trainer"}


def by_stage(
    trainer: TrainerView,
    acts: tuple[Act, ...],
    *,
    sweep_s: float,
    alive: Callable[[], Decision],
    settled: Callable[[], Decision],
) -> Decision:
    """`acts` are carried out beside. `sweep_s`: the time for what a trainer that ended has left behind."""
    stage = trainer.stage
    if stage is Stage.ALIVE and trainer.exit is not None:
        # The main process ended; what it left behind must not write into the next attempt's files.
        why = f"the trainer ended with code {trainer.exit.code}"
        return Decision((*acts, Kill("", sweep_s)), why)
    if stage is Stage.DEAD:
        return Decision((*acts, Settle()), LAST_LOOK)
    if stage in (Stage.ALIVE, Stage.SETTLED):
        rest = alive() if stage is Stage.ALIVE else settled()
        return Decision((*acts, *rest.acts), rest.why)
    return Decision(acts, WAITS.get(stage, LAST_LOOK))
