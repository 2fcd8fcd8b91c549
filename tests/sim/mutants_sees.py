"""Mutants of what the controller sees: the listings, silence, the pointer that it reads."""

from __future__ import annotations

from dataclasses import replace

from tests.sim.mutants_edit import Setting, edit
from tests.sim.mutants_hunt import HARSH, Mutant

from outlast_orchestrator.simulate.control import LIMITS

CORE = "outlast_orchestrator.core"
CONTROLLER = "outlast_orchestrator.controller"

LIFE = ("gone means gone", "no close without witnesses", "no relaunch without cause")

UP_TO_NOW = edit(
    f"{CORE}.evidence:lease_ends_in_s", "(silence_s(machine) - machine.unread_s)", "silence_s(machine)"
)
SEES = (
    Mutant(
        "one missed listing is gone",
        (Setting(f"{CORE}.evidence:GONE_AFTER_ABSENCES", 1),),
        LIFE,
        seed=19,
    ),
    Mutant(
        "a stale listing counts",
        (edit(f"{CORE}.evidence:gone", "if begun_s > after_s", "if begun_s"),),
        LIFE,
        seed=3,
    ),
    Mutant(
        "Unknown as empty",
        (
            edit(
                f"{CONTROLLER}.looks:_listing",
                "problem=str(error) or type(error).__name__",
                'problem=""',
                "found.problem)",
                '"")',
            ),
        ),
        LIFE,
        seed=0,
    ),
    Mutant(
        "silence from stored times",
        (
            edit(
                f"{CONTROLLER}.nodes:NodeRegistry.heard",
                "found[launch_id] = heard",
                "found[launch_id] = Heard(heard.report, heard.life_s, "
                "self._clock.monotonic_s() - heard.life_s, heard.closed, heard.state_s)",
            ),
            UP_TO_NOW,  # else the age of the newest look, which it disregards, would take it back
        ),
        LIFE,
        HARSH,
        seed=38,
    ),
    Mutant(
        "a minute is a lease",
        (
            Setting(
                "outlast_orchestrator.simulate.control:LIMITS",
                replace(LIMITS, lease_s=30.0, lease_margin_s=0.0, silent_after_s=30.0),
            ),
        ),
        LIFE,
        own=True,
        seed=1,
    ),
    Mutant(
        "a machine that stops counts as gone",
        (
            edit(
                f"{CORE}.evidence:gone",
                "seen.state is CloudState.ENDED",
                'seen.state.value in ("ended", "stopping")',
            ),
        ),
        LIFE,
        own=True,
        seed=3,
    ),
    Mutant(
        "unreachable is dead",
        (edit(f"{CORE}.rules.claimed:_lose", "if lease_is_over(m, limits)", "if is_silent(m, limits)"),),
        LIFE,
        own=True,
        seed=1,
    ),
    Mutant(
        "a late end is not an end",
        (edit(f"{CORE}.rules.pointer:take_pointer", "_ended_late(sheet, attempt, pointer)", "..."),),
        ("every job comes to its end", "SUCCEEDED if and only if done"),
        HARSH,
        own=True,
        seed=3,
    ),
)
