"""What `outlast` exits with, and the errors that carry it; `docs/cli.md` is the list for people."""

from __future__ import annotations

import enum

from outlast_orchestrator.core.errors import OutlastError, UserError


class Exit(enum.IntEnum):
    SUCCESS = 0
    JOB_FAILED = 1
    BAD_INPUT = 2
    NO_SERVER = 3
    REFUSED = 4  # the server, or what stands behind it, said no
    JOB_CANCELLED = 5
    DAMAGED = 6  # a checkpoint does not verify
    LEFT = 130  # Ctrl-C, or "no" to a question: the job goes on, or was never submitted


class NoServer(OutlastError):
    """Nobody answers; the message says how to start a server."""


class Refused(OutlastError):
    """The server answered, but not with what was asked for."""


def exit_code(error: OutlastError) -> Exit:
    if isinstance(error, NoServer):
        return Exit.NO_SERVER
    return Exit.BAD_INPUT if isinstance(error, UserError) else Exit.REFUSED


def of_job(state: str) -> Exit:
    """By the state in which a job is over."""
    table = {"SUCCEEDED": Exit.SUCCESS, "CANCELLED": Exit.JOB_CANCELLED}
    return table.get(state, Exit.JOB_FAILED)
