"""Why a machine is gone: the strongest evidence decides, and our own records come first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.core.build import NOW_AT, heard, machine, record, seen

from outlast.protocol.messages import AgentState, Notice
from outlast_orchestrator.core.types import InstancePhase
from outlast_orchestrator.core.verdict import Verdict, judge
from outlast_orchestrator.core.view import CloudState, EndProof, InstanceView


def ended(end: EndProof = EndProof.UNKNOWN, *, of: dict[str, Any] | None = None, **more: Any) -> InstanceView:
    """A machine that the cloud lists as ended; `of`: what our record of it says besides."""
    mine = record("m1", InstancePhase.GONE, **(of or {}))
    return machine("m1", record=mine, seen=seen("m1", CloudState.ENDED, end=end, **more))


NOTICED = heard("m1", 1, AgentState.DRAINING, notice=Notice("terminate", 120.0))
ROWS = {
    "the cloud says interrupted": (ended(EndProof.INTERRUPTED), Verdict.PREEMPTED),
    "the cloud had announced it": (ended(interrupting=True), Verdict.PREEMPTED),
    "the agent had heard a notice": (replace(ended(), heard=NOTICED), Verdict.PREEMPTED),
    "a notice that an earlier controller heard": (
        ended(of={"first_noticed_at": NOW_AT - 200}),
        Verdict.PREEMPTED,
    ),
    "a notice, and the cloud's own call ended it": (
        replace(ended(EndProof.OURS_OR_PERSON), heard=NOTICED),
        Verdict.PREEMPTED,
    ),
    "we ended it": (ended(EndProof.OURS_OR_PERSON, of={"terminate_why": "paused"}), Verdict.OURS),
    "we ended it, while the market took it": (
        ended(EndProof.INTERRUPTED, of={"terminate_why": "paused"}),
        Verdict.OURS,
    ),
    "a person ended it": (ended(EndProof.OURS_OR_PERSON), Verdict.USER_KILL),
    "somebody ended it after the backup": (
        ended(EndProof.OURS_OR_PERSON, of={"from_backup": True}),
        Verdict.PROBABLY_OURS,
    ),
    "the host failed, or was maintained": (ended(EndProof.HOST), Verdict.HOST_LOST),
    "it switched itself off": (ended(EndProof.GUEST), Verdict.GUEST_SHUTDOWN),
    "it never ran": (ended(EndProof.LAUNCH), Verdict.LAUNCH_FAILED),
    "it was never listed": (replace(ended(), seen=None), Verdict.LAUNCH_FAILED),
    "no proof of anything": (ended(), Verdict.PROBABLY_PREEMPTED),
    "it left the listing": (
        machine("m1", record=record("m1", InstancePhase.GONE)),
        Verdict.PROBABLY_PREEMPTED,
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_the_strongest_evidence_decides(row: str) -> None:
    gone, verdict = ROWS[row]
    assert judge(gone).verdict is verdict


def test_only_a_person_stops_the_job() -> None:
    """Whatever else took the machine, the job goes on elsewhere."""
    stopping = {verdict for gone, verdict in ROWS.values() if judge(gone).stops_the_job}
    assert stopping == {Verdict.USER_KILL}
    assert {verdict for _, verdict in ROWS.values()} == set(Verdict)


@pytest.mark.parametrize("end", [EndProof.INTERRUPTED, EndProof.OURS_OR_PERSON, EndProof.HOST])
def test_the_clouds_own_words_are_told(end: EndProof) -> None:
    gone = ended(end, end_text="Server.SpotInstanceTermination")
    assert "Server.SpotInstanceTermination" in judge(gone).why
