"""Tells a checker a story and returns what it found."""

from __future__ import annotations

from collections.abc import Sequence

from outlast_orchestrator.simulate.checkers.base import Checker
from outlast_orchestrator.simulate.history import Fact

Story = Sequence["tuple[float, Fact] | Fact"]


def told(checker: Checker, story: Story, end_s: float | None = None) -> list[str]:
    """What the checker found; a fact without a time comes a second after the one before."""
    now_s = 0.0
    for entry in story:
        at_s, fact = entry if isinstance(entry, tuple) else (now_s + 1.0, entry)
        now_s = at_s
        checker.see(at_s, fact)
    if end_s is not None:
        checker.finish(end_s)
    return [violation.text for violation in checker.violations]
