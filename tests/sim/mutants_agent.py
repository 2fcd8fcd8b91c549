"""Mutants of the agent: when it claims, saves, leaves, gives up, and what it makes of an exit."""

from __future__ import annotations

from tests.sim.mutants_edit import edit
from tests.sim.mutants_hunt import HARSH, Mutant

NOTICED = "a noticed loss costs no step"
DONE = "SUCCEEDED if and only if done"
LEASE = "a machine lives as long as its lease"
ENDS = "every job comes to its end"

AGENT = (
    Mutant(
        "exit 0 is success",
        (
            edit(
                "outlast.verdict:verdict",
                "if left_on_request(assignment) and (code == 0 or reason is not None):",
                "if False:",
            ),
        ),
        (DONE,),
        seed=48,
    ),
    Mutant(
        "no `ended` state",
        (
            edit(
                "outlast.bucket.owner:PointerOwner.end",
                "build_end(found, self._writer.at(), code, why)",
                "build_release(found, self._writer.at(), why)",
            ),
        ),
        (ENDS, DONE),
    ),
    Mutant(
        "claim at boot",
        (
            edit("outlast.decide:_before_claim", "if assignment.prepare is not Chore.DONE:", "if False:"),
            edit("outlast.telling:state_of", "assignment.prepare is Chore.DONE and ", ""),
        ),
        ("a claim comes when the node is ready",),
        HARSH,
    ),
    Mutant(
        "claim after read",
        (
            edit(
                "outlast.tasks.pointer:PointerTask._claim",
                "outcome = self._owner.claim(permission)",
                "reads = self.__dict__.setdefault('reads', {}); "
                "read = reads.setdefault(assignment.generation, self._owner.look() and self._owner.pointer); "
                "outcome = self._owner.claim(permission); "
                "outcome = outcome if not isinstance(outcome, Applied) or read is None else Applied("
                "type(read)(**{**outcome.pointer.__dict__, 'head': read.head, 'kept': read.kept}), '')",
            ),
        ),
        ("resume from the head's chain", NOTICED),
        seed=1,
    ),
    Mutant(
        "dead-man on controller silence",
        tuple(
            edit(f"outlast.lease:LeasedBucket.{verb}", "self._post(Wrote(sent_s))", "...")
            for verb in ("create", "replace", "put", "upload")
        ),
        (LEASE,),
        seed=19,
    ),
    Mutant(
        "a node never gives itself up",
        (edit("outlast.decide:decide", "if view.now_s >= lease_ends_s(view) and", "if False and"),),
        (LEASE,),
        own=True,
        seed=26,
    ),
    Mutant(
        "the release is written while the trainer runs",
        (
            edit(
                "outlast.decide:_while_it_trains",
                "return drain(view, assignment, reason)",
                "return Decision((Release(reason.why),), reason.why)",
            ),
        ),
        ("the trainer is dead before its release",),
        own=True,
        seed=1,
    ),
    Mutant(
        "no final save on a notice",
        (edit("outlast.leave:choose", "if not reason.save:", "if True:"),),
        (NOTICED,),
        own=True,
        seed=48,
    ),
    Mutant(
        "the last save is not waited for",
        (
            edit(
                "outlast.decide:_finish",
                "if not assignment.saving.idle and not out_of_time and not left_out:",
                "if False:",
            ),
        ),
        (NOTICED,),
        own=True,
        seed=48,
    ),
    Mutant(
        "the end comes before the outputs",
        (edit("outlast.decide:_finish", "if assignment.outputs is not Chore.DONE:", "if False:"),),
        (DONE,),
        own=True,
    ),
)
