"""How often the controller looks at what; a simulation may look less often than the product does. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rhythm:
    tick_s: float = 1.0  # at the latest; a message or a decision's own wish comes sooner
    gap_max_s: float = 5.0  # a longer pause between two ticks: this controller was away, not the nodes
    list_every_s: float = 15.0
    list_again_s: float = 0.5  # however often a decision asks
    listed_within_s: float = 60.0  # no complete listing for longer: the region is Unknown
    pointer_every_s: float = 5.0
    pointer_again_s: float = 0.0  # however often a decision asks; below what the rules call fresh
    quiet_after_s: float = 4.0  # reports repeat every 3 s: from here on the bucket is asked as well
    status_every_s: float = 3.0
    status_fresh_s: float = 10.0  # a reading of the status objects begun longer ago proves nothing
    offers_every_s: float = 300.0  # unless the prices were marked as due before
    offers_again_s: float = 5.0  # while a cloud has not answered yet
    regions_every_s: float = 60.0
    regions_again_s: float = 1.0
