"""The nodes of an attempt in rank order, and what counts as the loss of one. Pure.

A *gang* is an attempt on several machines. Its first node (rank 0) alone claims and writes the pointer: only
what proves that *its* writer can't write any more closes the attempt. The others are needed for training, so
the loss of one ends the attempt too, but by a release of the first.
"""

from __future__ import annotations

from dataclasses import dataclass

from outlast.protocol.messages import HEALTH, OVER, AgentState, Failure, Peer, Report
from outlast_orchestrator.core.evidence import is_silent, lease_is_over, silence_s
from outlast_orchestrator.core.rules.machines import is_noticed
from outlast_orchestrator.core.sheet import Sheet
from outlast_orchestrator.core.types import Attempt, InstancePhase
from outlast_orchestrator.core.view import InstanceView

NO_MACHINE = ""  # the launch id of a rank that has none yet
ROLL_CALL_S = 120.0  # how long after the first node the others may take to say that they have left


@dataclass(frozen=True)
class Node:
    """One rank of an attempt. `machine` None: it has none, or it was gone before this decision."""

    rank: int
    launch_id: str
    machine: InstanceView | None

    @property
    def is_gone(self) -> bool:
        if self.launch_id == NO_MACHINE:
            return False
        return self.machine is None or self.machine.record.phase is InstancePhase.GONE


def size_of(sheet: Sheet, attempt: Attempt) -> int:
    """Its number of nodes: fixed when the first machine is asked for, until then the job's."""
    return len(attempt.launches) or sheet.view.job.nodes


def is_gang(sheet: Sheet, attempt: Attempt) -> bool:
    return size_of(sheet, attempt) > 1


def slots_of(sheet: Sheet, attempt: Attempt) -> tuple[str, ...]:
    """Launch ids by rank, NO_MACHINE for a rank without one."""
    return attempt.launches or (NO_MACHINE,) * sheet.view.job.nodes


def with_slot(launches: tuple[str, ...], rank: int, launch_id: str) -> tuple[str, ...]:
    """() when no rank has a machine any more."""
    changed = (*launches[:rank], launch_id, *launches[rank + 1 :])
    return changed if any(changed) else ()


def nodes_of(sheet: Sheet, attempt: Attempt) -> list[Node]:
    return [
        Node(rank, launch, sheet.machines.get(launch)) for rank, launch in enumerate(slots_of(sheet, attempt))
    ]


def writers(sheet: Sheet, attempt: Attempt) -> list[InstanceView]:
    """The machine of its first node, one found to be gone in this very decision included; [] if unknown."""
    return [sheet.machines[launch] for launch in attempt.launches[:1] if launch in sheet.machines]


def report_of(machine: InstanceView | None, attempt: Attempt) -> Report | None:
    """The last that its agent said of this attempt."""
    if machine is None or machine.heard is None or machine.heard.report.generation != attempt.generation:
        return None
    return machine.heard.report


def all_wait(sheet: Sheet, attempt: Attempt) -> bool:
    """Every node is prepared, heard from, and not about to be taken: now it is worth to claim."""
    limits = sheet.view.limits
    for node in nodes_of(sheet, attempt):
        report, machine = report_of(node.machine, attempt), node.machine
        if machine is None or report is None or report.state is not AgentState.WAITING:
            return False
        if machine.record.phase is not InstancePhase.READY or is_noticed(machine):
            return False
        if is_silent(machine, limits):
            return False
    return True


def why_broken(sheet: Sheet, attempt: Attempt) -> str:
    """Why a claimed gang can't go on training, told by its other nodes; "" while it may.

    Silence within the lease is no reason: unreachable is not dead.
    """
    for node in nodes_of(sheet, attempt)[1:]:
        if node.is_gone:
            why = node.machine.record.end_why if node.machine is not None else "its machine is gone"
            return f"node {node.rank} is lost: {why}"
        machine = node.machine
        if machine is None:
            continue  # a store from a backup: who it is will be listed, or the training tells
        if lease_is_over(machine, sheet.view.limits):
            return f"node {node.rank} has been silent for {silence_s(machine):.0f} s, beyond the lease"
        report = report_of(machine, attempt)
        if report is not None and report.state in OVER:
            return f"node {node.rank} has left: {report.failure.message if report.failure else report.why}"
        if machine.heard is not None and report is None and not is_silent(machine, sheet.view.limits):
            return f"node {node.rank} knows nothing of the attempt any more"
    return ""


def lost_nodes(sheet: Sheet, attempt: Attempt) -> list[int]:
    """Ranks whose machine is gone, silent, about to be taken or can't end its trainer: a crash beside that is
    nobody's fault."""
    limits, overdue = sheet.view.limits, _first_left_s(sheet, attempt) >= ROLL_CALL_S
    found = []
    for node in nodes_of(sheet, attempt):
        machine = node.machine
        taken = machine is not None and (is_noticed(machine) or is_silent(machine, limits))
        if node.is_gone or taken or (overdue and _stays(node, attempt)):
            found.append(node.rank)
    return found


def have_answered(sheet: Sheet, attempt: Attempt) -> bool:
    """Every other node says that its role is over, or can't any more: then who was lost is known."""
    lost = lost_nodes(sheet, attempt)
    return not any(_stays(node, attempt) for node in nodes_of(sheet, attempt)[1:] if node.rank not in lost)


def _stays(node: Node, attempt: Attempt) -> bool:
    report = report_of(node.machine, attempt)
    return report is not None and report.state not in OVER


def _first_left_s(sheet: Sheet, attempt: Attempt) -> float:
    """For how long the first node has been through with it; 0: it is not, or is not heard."""
    machine = nodes_of(sheet, attempt)[0].machine
    report = report_of(machine, attempt)
    if machine is None or machine.heard is None or report is None or report.state not in OVER:
        return 0.0
    return sheet.view.now_s - machine.heard.state_s


def failure_in(sheet: Sheet, attempt: Attempt) -> Failure | None:
    """What went wrong on the node where it began, as far as that can be told.

    When one trainer dies the others fail on their connections to it: a failure that has a name comes first.
    """
    reports = [
        None if node.is_gone else report_of(node.machine, attempt) for node in nodes_of(sheet, attempt)
    ]
    found = [
        (report.failure, rank)
        for rank, report in enumerate(reports)
        if report is not None and report.failure is not None
    ]
    if not found:
        return None
    failure, _ = max(found, key=lambda one: (one[0].fatal, *_named(one[0]), -one[1]))
    return failure


def _named(failure: Failure) -> tuple[bool, bool]:
    """A node that was ended for its saves takes all others' trainers with it, whatever code they end with."""
    return failure.phase == HEALTH, failure.phase != "trainer" or failure.exit_code != 1


def peers_of(sheet: Sheet, attempt: Attempt) -> tuple[Peer, ...]:
    """Who they are and where they are reached, in rank order."""
    return tuple(_peer(node) for node in nodes_of(sheet, attempt))


def _peer(node: Node) -> Peer:
    machine = node.machine
    if machine is None:
        return Peer(node.launch_id, "", "")
    address = machine.seen.address if machine.seen is not None else ""
    return Peer(node.launch_id, machine.record.id, address or machine.record.address)
