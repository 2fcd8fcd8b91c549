"""What most kinds have in common: nothing to choose among their finds, and no file that names the newest."""

from __future__ import annotations

from collections.abc import Sequence

from outlast.save.found import Candidate, Tracker


class Layout:
    def chosen(self, found: Sequence[Candidate]) -> Sequence[Candidate]:
        return found

    def tracker(self, step: int, kind: str) -> Tracker | None:
        del step, kind
        return None
