"""A store from a backup, with machines that it knows nothing of: none is ended on what was not read."""

from __future__ import annotations

from tests.chaos.controller_plays import UNTIL_GO, launch_by_hand, starts
from tests.chaos.controller_points import Tap
from tests.chaos.controller_rig import Rig, every

from outlast_orchestrator.core.types import JobState

SWEEP_EVERY_S = 1.0
LOOKS = 4  # listings after which a sweep would long have acted


def listings(tap: Tap) -> int:
    return sum(1 for point in tap.points if point.op == "cloud.instances" and point.after)


def test_nothing_is_swept_before_every_jobs_pointer_was_read(rig: Rig) -> None:
    rig.submit(UNTIL_GO)
    backup = rig.back_up()  # it knows the job, and nothing that became of it
    rig.start()
    rig.until("it trains", lambda: starts(rig))
    [mine] = rig.living()
    rig.machine_room[-1].end()
    launch_by_hand(rig, f"stranger-{rig.store.owner()}", job="nobody-knows")
    rig.put_back(backup)
    bucket, away = rig.folder / "bucket", rig.folder / "away"
    bucket.rename(away)
    tap = Tap()
    newest = rig.start(tap)
    rig.attend = every(SWEEP_EVERY_S, newest.sweep)
    rig.until("it has looked often enough", lambda: listings(tap) > LOOKS)
    assert len(rig.living()) == 2
    away.rename(bucket)
    rig.until("the stranger is ended", lambda: len(rig.living()) == 1)
    assert [one["id"] for one in rig.living()] == [mine["id"]]
    rig.go.touch()
    rig.until("the job is done", lambda: rig.state() is JobState.SUCCEEDED)
    rig.until("no machine is left", lambda: not rig.living())
    assert starts(rig) == [1]
