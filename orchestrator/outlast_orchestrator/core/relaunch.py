"""Whether and when a job goes on after an attempt is over. Pure.

Losing a machine costs nothing: it may happen any number of times. What the user's own program does counts
against its own small budget, and a job that never gets anywhere is stopped before it burns money.
"""

from __future__ import annotations

from dataclasses import dataclass

from outlast.protocol.messages import Failure
from outlast.protocol.objects import ManifestRef
from outlast_orchestrator.core.types import Progress, RetryPlan

BACKOFF_FIRST_S = 5.0
BACKOFF_MAX_S = 600.0
FRUITLESS_MAX = 3  # K of the design
UNHEALTHY_MAX = 2  # ends for the health of the saves, with no healthy checkpoint between them


@dataclass(frozen=True)
class Again:
    """Go on, `after_s` from now, with these counters."""

    after_s: float
    failures: int
    fruitless: int
    why: str


@dataclass(frozen=True)
class StopAndTell:
    why: str
    failures: int
    fruitless: int


def after_loss(failures: int, fruitless: int, *, barren: bool) -> Again | StopAndTell:
    """After a machine was lost. `barren`: it trained for more than two intervals and saved nothing new."""
    if not barren:
        return Again(0.0, failures, fruitless, "a lost machine costs no try")
    if fruitless + 1 >= FRUITLESS_MAX:
        return StopAndTell(_fruitless(fruitless + 1), failures, fruitless + 1)
    return Again(0.0, failures, fruitless + 1, "it trained, but left no new checkpoint")


def after_failure(
    plan: RetryPlan, failure: Failure, failures: int, fruitless: int, *, new_durable: bool
) -> Again | StopAndTell:
    """After the user's program, setup or restore failed.

    `failures` counts since the last new durable step: a job that makes progress between two crashes has
    its whole budget again.
    """
    failures, fruitless = (0, 0) if new_durable else (failures, fruitless)
    code = failure.exit_code
    what = failure.message
    if failure.fatal:
        return StopAndTell(what, failures, fruitless)
    if code is not None and code in plan.fatal_exit_codes:
        return StopAndTell(f"{what} (exit code {code} is listed as fatal)", failures, fruitless)
    fruitless = 0 if new_durable else fruitless + 1
    if code is not None and code in plan.retryable_exit_codes:
        if fruitless >= FRUITLESS_MAX:
            return StopAndTell(f"{what}; {_fruitless(fruitless)}", failures, fruitless)
        return Again(_backoff_s(fruitless), failures, fruitless, f"exit code {code} is listed as retryable")
    failures += 1
    if failures > plan.max_failures:
        budget = f"{failures} failures without a new durable step, max_failures is {plan.max_failures}"
        return StopAndTell(f"{what} ({budget})", failures, fruitless)
    return Again(_backoff_s(failures), failures, fruitless, f"failure {failures} of {plan.max_failures}")


def after_unhealthy(
    progress: Progress, failure: Failure, good: ManifestRef | None, job: str
) -> Again | StopAndTell:
    """After the health gate refused the saves of an attempt. `progress.unhealthy`: how many have ended so,
    this one included, since `good` was saved. `job`: its name, for the commands that help.

    Bad luck is gone with the state that it spoilt. What comes back from a good checkpoint lies in the
    training: to repeat it burns money. It is no crash, and takes nothing from the budget of crashes.
    """
    failures, fruitless = progress.failures, progress.fruitless
    begin = "the beginning" if good is None else f"step {good.step}"
    if progress.unhealthy < UNHEALTHY_MAX:
        return Again(_backoff_s(progress.unhealthy), failures, fruitless, f"once more, from {begin}")
    further = "" if good is None else f", or go back further with `outlast admin restart {job} --from STEP`"
    why = (
        f"{failure.message}. The time before it was the same, and nothing was resumed from what is "
        f"quarantined: the last good state is {begin}. Look at the loss and the learning rate after it"
        f"{further}; if such numbers are meant to be, name the tensors in `checkpoint.health` and "
        f"`outlast update {job} FILE`"
    )
    return StopAndTell(why, failures, fruitless)


def _backoff_s(times: int) -> float:
    return min(BACKOFF_FIRST_S * 2.0 ** max(0, times - 1), BACKOFF_MAX_S)


def _fruitless(times: int) -> str:
    return f"{times} attempts in a row ended without a new durable step"
