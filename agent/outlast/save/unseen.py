"""Says to a person that a training saves nothing that can be used, before its machine is lost. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from outlast.protocol.messages import CheckpointPlan

FIRST_SAVE_S = 30 * 60.0  # for a trainer that saves in its own rhythm
INTERVALS = 2  # a request is answered at the end of a step, and the save itself takes its time
NAMES_MAX = 5


def overdue(plan: CheckpointPlan, trained_s: float) -> bool:
    """Whether a first checkpoint should have been seen by now."""
    limit_s = FIRST_SAVE_S if plan.every_s is None else INTERVALS * plan.every_s
    return trained_s >= limit_s


def told(
    plan: CheckpointPlan, root: str, names: Sequence[str], waiting: Mapping[str, str], trained_s: float
) -> str:
    """One line. `names`: what lies in the checkpoint folder; `waiting`: what is incomplete there, and why."""
    begun = f"no complete checkpoint was seen in {trained_s / 60:.3g} minutes of training"
    if waiting:
        key, why = next(iter(sorted(waiting.items())))
        return f"{begun}: {key} in {root} is not complete: {why}"
    more = f" and {len(names) - NAMES_MAX} more" if len(names) > NAMES_MAX else ""
    here = f"it holds {', '.join(sorted(names)[:NAMES_MAX])}{more}" if names else "it is empty"
    if plan.pattern:
        pattern = ", ".join(map(repr, plan.pattern))
        return f"{begun}: checkpoint.pattern {pattern} matches nothing in {root} ({here}); mend it"
    mend = "name yours with checkpoint.pattern" if names else "does it save elsewhere? see checkpoint.dir"
    return f"{begun}: nothing in {root} looks like one ({here}); {mend}"
