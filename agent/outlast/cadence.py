"""When the agent does what it repeats: retries, saves, margins before a deadline. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from outlast.protocol.limits import (
    FENCED_OFF_S,
    LOG_CHUNK_EVERY_S,
    NOTICE_POLL_S,
    OVER_OFF_S,
    POINTER_LOOK_EVERY_S,
    REPORT_EVERY_S,
    STATUS_EVERY_S,
)

RETRY_FIRST_S = 1.0
RETRY_MAX_S = 30.0
CLAIM_EVERY_S = 1.0  # a claim that had to wait is tried again this often
NOTICE_MARGIN_S = 10.0  # the cloud's deadline is approximate
NOTICE_MARGIN_SHARE = 0.25  # of a short notice: a margin must not eat it all
UNKNOWN_DEADLINE_S = 110.0  # a termination without a time: two minutes is what clouds promise
SHUTDOWN_S = 20.0  # SIGTERM from the operating system: nobody says how long it waits
SAVES_THAT_SHOW_GOING_ON = 2  # the one that answered, and one more: so it did not leave for our request
FINAL_GRACE_S = 3.0  # from a final save on the disk to ending a trainer that does not leave by itself
KILL_GRACE_S = 5.0  # SIGTERM to SIGKILL, when nobody is in a hurry
WAKE_GRACE_S = 20.0  # after a freeze both ways of renewing the lease get this chance
COMMIT_S = 1.0  # manifest and pointer, before anything was measured
PARTS_EVERY_S = 2.0  # how often the first node of a gang looks for the others' parts
PARTS_TOLD_AFTER_S = 300.0  # a part that is missing for so long is told
PARTS_LIMIT_S = 900.0  # once the trainer has ended, a part that is missing for so long is not waited for
ASK_AGAIN_S = 60.0  # a request for a save that nothing answered is repeated
QUARANTINED_MAX = 3  # saves in a row that the health gate refused: then the attempt ends


@dataclass(frozen=True)
class Pace:
    """The periods of everything that is repeated. The simulation passes longer ones, and the same code."""

    report_every_s: float = REPORT_EVERY_S
    report_again_s: float = 1.0  # after one that did not get through
    status_every_s: float = STATUS_EVERY_S
    notice_poll_s: float = NOTICE_POLL_S
    pointer_look_every_s: float = POINTER_LOOK_EVERY_S
    wishes_every_s: float = 30.0  # people's pins, between two saves
    boot_clock_every_s: float = 1.0  # how late a thaw may be noticed
    log_every_s: float = LOG_CHUNK_EVERY_S
    scan_every_s: float = 0.5  # the checkpoint folder
    trainer_every_s: float = 0.2  # exit and progress
    outputs_every_s: float = 15.0
    prefetch_every_s: float = 5.0  # whether there is a newer head to fetch ahead of the claim; 0: never
    alive_every_s: float = 3.0  # the file that the dead-man switch watches
    gang_every_s: float = 2.0  # how often a node looks what the first one of its gang does
    hang_s: float = 25.0  # one hanging request for commands
    freeze_s: float = 5.0  # the loop was due and came this much later: the node was frozen
    over_off_s: float = OVER_OFF_S
    fenced_off_s: float = FENCED_OFF_S


def retry_in_s(tries: int) -> float:
    """How long to wait after the `tries`-th failure in a row: doubles up to half a minute, for ever."""
    return float(min(RETRY_MAX_S, RETRY_FIRST_S * 2 ** min(max(0, tries - 1), 10)))


def leave_by_s(now_s: float, deadline_s: float) -> float:
    """The moment by which everything must be written, for a deadline first seen now."""
    left_s = max(0.0, deadline_s - now_s)
    return deadline_s - min(NOTICE_MARGIN_S, left_s * NOTICE_MARGIN_SHARE)


def save_due_s(every_s: float | None, started_s: float, found_s: float, asked_s: float) -> float | None:
    """When to ask for the next save; None: the trainer keeps its own rhythm.

    The interval runs from the last save that was seen, whoever wanted it: a save by the trainer's own
    rhythm is as good. A request that is not answered is not repeated at every look.
    """
    if every_s is None:
        return None
    due_s = max(started_s, found_s) + every_s
    return due_s if asked_s <= max(started_s, found_s) else max(due_s, asked_s + max(every_s, ASK_AGAIN_S))
