"""Mutants of the store and of leadership: terms, generation numbers, the sweep."""

from __future__ import annotations

from tests.sim.mutants_edit import edit
from tests.sim.mutants_hunt import HARSH, Mutant

CONTROLLER = "outlast_orchestrator.controller"

RECORDS = "a machine's record goes forward"
GENERATIONS = "generations are never reused"
DOUBLE = (
    RECORDS,
    GENERATIONS,
    "at most one uncertain launch try",
    "intent before launch",
    "gone means gone",
    "no relaunch without cause",
    "no close without witnesses",
    "no instance is forgotten",
    "no claim over a living attempt",
)
STORE = (
    Mutant(
        "sweep reads the store first",
        (
            edit(
                f"{CONTROLLER}.sweep:Sweeper.look",
                "found = find_orphans(listed, living, jobs, self._owner)",
                "living, self.was = self.__dict__.get('was', {}), living; "
                "found = find_orphans(listed, living, jobs, self._owner)",
                "records = all_records()",
                "records = living",
            ),
        ),
        (RECORDS,),
    ),
    Mutant(
        "no term",
        (
            edit(f"{CONTROLLER}.act:Actor._check", "if not self._store.leads(term):", "if False:"),
            edit(
                "outlast_orchestrator.simulate.store:MemoryStore._check",
                "if self._term != term:",
                "if False:",
            ),
        ),
        DOUBLE,
        HARSH,
        seed=74,
    ),
    Mutant(
        "a generation taken from the store alone",
        (
            edit(
                f"{CONTROLLER}.pointers:BucketPointers.take_generation",
                "return take_generation(self._bucket(job), at_least, job.owner, attempt, at)",
                "return at_least",
            ),
        ),
        (GENERATIONS,),
    ),
)
