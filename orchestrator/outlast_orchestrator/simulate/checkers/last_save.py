"""When a notice leaves time for a last save: how long that takes, and whether anything else was wrong."""

from __future__ import annotations

from outlast_orchestrator.simulate.trainer import Profile


def fits(profile: Profile, left_s: float, bytes_per_s: float, margin_s: float) -> bool:
    """A trainer that heeds its agent can save once more, after a save that may be under way already."""
    upload_s = 2 * profile.size / bytes_per_s
    need_s = profile.step_s + 2 * profile.save_s + upload_s + margin_s
    return profile.polls and not profile.deaf and left_s >= need_s


class Disturbances:
    """Until when something is wrong with a machine, or a job; "": with all."""

    def __init__(self) -> None:
        self._until_s: dict[str, float] = {}

    def note(self, key: str, until_s: float) -> None:
        self._until_s[key] = max(until_s, self._until_s.get(key, 0.0))

    def calm(self, key: str, now_s: float) -> bool:
        return max(self._until_s.get(one, 0.0) for one in ("", key)) < now_s
