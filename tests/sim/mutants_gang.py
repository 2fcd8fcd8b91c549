"""Mutants of gangs: whose parts, whose claim, whose death."""

from __future__ import annotations

from tests.sim.mutants_edit import edit
from tests.sim.mutants_hunt import GANG, Mutant

CORE = "outlast_orchestrator.core"

GANGS = (
    Mutant(
        "a checkpoint of a gang without waiting for a part",
        (
            edit(
                "outlast.bucket.gang:gather",
                "missing = tuple(rank for rank in ranks if rank not in parts)",
                "ranks = [rank for rank in ranks if rank in parts]; missing = ()",
            ),
        ),
        ("a gang's checkpoint has all its parts",),
        GANG,
        own=True,
        seed=1,
    ),
    Mutant(
        "the first node may claim before the others are ready",
        (edit(f"{CORE}.rules.orders:_prepare", "or all_wait(sheet, attempt)", "or True"),),
        ("a gang claims when all its nodes are ready",),
        GANG,
        own=True,
        seed=1,
    ),
    Mutant(
        "the death of any node closes the writer",
        (
            edit(
                f"{CORE}.gang:writers",
                "for launch in attempt.launches[:1]",
                "for launch in attempt.launches",
            ),
        ),
        ("no close without witnesses",),
        GANG,
        own=True,
        seed=2,
    ),
)
