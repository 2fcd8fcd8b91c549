"""Mutants of what the controller does: launches, ends, permissions, attempts."""

from __future__ import annotations

from tests.sim.mutants_edit import edit
from tests.sim.mutants_hunt import HARSH, Mutant

CORE = "outlast_orchestrator.core"
CONTROLLER = "outlast_orchestrator.controller"

TRIES = "at most one uncertain launch try"
DOES = (
    Mutant(
        "launch before save",
        (
            edit(
                f"{CONTROLLER}.act:Actor._rows",
                "if isinstance(action, Save)]",
                "if isinstance(action, Save)"
                " and action.row not in [a.instance for a in decision.actions if isinstance(a, Launch)]]",
            ),
        ),
        ("intent before launch",),
    ),
    Mutant(
        "new try after a time-out",
        (
            edit(
                f"{CORE}.rules.answers:_unsure",
                "asked=Asked.UNSURE)",
                "asked=Asked.UNSURE, tries=record.tries + 1, request=type(record.request)(**{"
                '**record.request.__dict__, "token": f"{record.launch_id}-{record.tries + 1}"}))',
            ),
        ),
        (TRIES, "gone means gone", "no instance is forgotten"),
        seed=0,
    ),
    Mutant(
        "an abandoned attempt counts as closed",
        (
            edit(
                f"{CORE}.rules.ending:_writer_to_close",
                "if not attempt.claimed:\n        return None",
                "if not attempt.claimed:\n"
                "        return (attempt.generation, attempt.writer) if attempt.writer else None",
            ),
        ),
        ("no close without witnesses", "every job comes to its end"),
        HARSH,
        seed=51,
    ),
    Mutant(
        "token resent after its life",
        (
            edit(
                f"{CORE}.rules.machines:_ask",
                "0.0 <= view.now_at - record.intended_at < view.limits.token_life_s",
                "True",
            ),
        ),
        (TRIES,),
        HARSH,
        seed=28,
    ),
    Mutant(
        "drained before the hold is listed",
        (
            edit(
                f"{CORE}.rules.hold:awaits_hold",
                "if held and chosen.name in pointer.pinned:",
                "if held:",
            ),
        ),
        ("held before it is drained",),
        seed=41,
        own=True,
    ),
    Mutant(
        "who trains needs no machine",
        (
            edit(
                f"{CORE}.rules.machine_room:release_machines",
                "for a in sheet.open_attempts()",
                "for a in sheet.open_attempts() if not a.claimed",
            ),
        ),
        ("no healthy machine is ended",),
        own=True,
    ),
    Mutant(
        "a node that is silent for a while is given up on as one that never came up",
        (
            edit(
                f"{CORE}.rules.machine_room:_give_up_on_boot",
                "if machine.record.phase is not InstancePhase.BOOTING",
                "if machine.heard is not None and machine.heard.silent_s > 60.0:\n"
                "        terminate(sheet, machine, 'silent')\n"
                "    if machine.record.phase is not InstancePhase.BOOTING",
            ),
        ),
        ("no healthy machine is ended",),
        own=True,
    ),
)
