"""How big a world is and how much bad luck it has: a whole day, or a few dense hours."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Plan:
    """Faults and people rest in the last hours, so that the end can be judged."""

    jobs: int = 3
    fewest_jobs: int = 3
    hours: float = 26.0
    busy_hours: float = 19.0
    faults: int = 36
    steps: tuple[int, int] = (40, 160)
    step_s: tuple[float, ...] = (20.0, 45.0, 90.0)
    save_every: tuple[int, ...] = (5, 10, 20)
    lasting_s: tuple[float, ...] = (20.0, 60.0, 200.0, 400.0, 900.0, 3600.0)  # how long a fault lasts
    pauses_s: tuple[float, ...] = (20.0, 600.0, 7200.0)  # how long people pause a job
    begin_share: float = 0.6  # of the busy hours: by then every job was submitted
    standby: float = 0.3  # how likely there are two controllers
    backup_age_s: tuple[float, ...] = (30.0, 600.0, 3600.0, 20_000.0)
    nodes: tuple[int, ...] = ()  # how many machines a job trains on; (): one


DAY = Plan()
# As short as a world may be in which more than ten faults strike: what it costs is the time that jobs run.
SHORT = Plan(
    jobs=3,
    fewest_jobs=1,
    hours=3.5,
    busy_hours=0.5,
    faults=17,
    steps=(5, 10),
    step_s=(15.0, 20.0, 20.0, 150.0),  # some outlast a lease
    save_every=(1, 1, 2),
    lasting_s=(20.0, 60.0, 150.0, 300.0, 600.0, 1300.0),
    pauses_s=(20.0, 200.0, 600.0),
    begin_share=0.2,
    backup_age_s=(30.0, 300.0, 900.0, 2000.0),
)
# Jobs that train for long enough to be interrupted again and again.
LONGER = replace(
    SHORT,
    busy_hours=1.2,
    faults=22,
    steps=(12, 40),
    step_s=(20.0, 45.0),
    save_every=(2, 5, 10),
    lasting_s=(20.0, 60.0, 200.0, 400.0, 800.0, 1500.0),
    pauses_s=(20.0, 300.0, 1200.0),
)
GANG = replace(LONGER, jobs=2, hours=6.0, nodes=(1, 2, 2, 2, 3, 3, 4, 8))
SIZES = {"day": DAY, "short": SHORT, "gang": GANG}
