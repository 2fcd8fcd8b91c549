"""Mutants of the health of saves: who counts, who stops."""

from __future__ import annotations

from tests.sim.mutants_edit import edit
from tests.sim.mutants_hunt import GANG, Mutant

ENDS = "a lost state ends its attempt"

HEALTH = (
    Mutant(
        "a refused save is told and not counted",
        (edit("outlast.fold_saving:_quarantined", "refused=assignment.saving.refused + 1", "refused=0"),),
        (ENDS,),
        GANG,  # in the short worlds no training goes on for long enough
        own=True,
        seed=88,
    ),
    Mutant(
        "a job whose state is lost is tried for ever",
        (
            edit(
                "outlast_orchestrator.core.relaunch:after_unhealthy",
                "if progress.unhealthy < UNHEALTHY_MAX:",
                "if True:",
            ),
        ),
        (ENDS,),
        own=True,
        seed=16,
    ),
    Mutant(
        "the health gate lets a lost state through",
        (edit("outlast_orchestrator.simulate.disk:SimSaves.scan", "if is_bad(files):", "if False:"),),
        (ENDS,),
        own=True,
        seed=7,
    ),
)
