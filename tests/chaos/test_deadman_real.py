"""The dead-man switch on real machines of the local cloud: each of its causes, and what is none.

The machines belong to a real server with times that anybody can set in `controller.yaml`; the agents and
trainers are real processes. What switched a machine off says so on its console, or in the word it left.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.stage import CLOUD_FOLDER, Stage

from outlast_orchestrator.remote.deadman import FOLDER, POWER_OFF

# As the cloud says it. The second one: the job was released on the way down, and the controller was quicker.
SWITCHED_OFF = ("Client.InstanceInitiatedShutdown", "Client.UserInitiatedShutdown")
# Tells its generation and that it still lives, until it may end.
RUN = (
    'echo "start $OUTLAST_GENERATION" >> "$TRACK"; '
    'while [ ! -e "$GO" ]; do echo "$OUTLAST_GENERATION" >> "$TRACK"; sleep 0.2; done'
)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    fresh = Stage(tmp_path)
    fresh.cloud.configure(keep_disks=True)
    try:
        yield fresh
    finally:
        fresh.close()


def begin(stage: Stage, **limits: float) -> str:
    """A server with these times, and a job on it."""
    (stage.home / "controller.yaml").write_text(yaml.safe_dump({"limits": limits}))
    stage.start()
    env = {"TRACK": str(stage.folder / "track"), "GO": str(stage.folder / "go")}
    return stage.submit("job", {}, run=RUN, env=env)


def told(stage: Stage) -> list[str]:
    track = stage.folder / "track"
    return track.read_text().splitlines() if track.exists() else []


def trains(stage: Stage, generation: int = 1) -> None:
    """Until that generation has done something from now on."""
    before = len(told(stage))
    stage.until(f"generation {generation} trains", lambda: str(generation) in told(stage)[before:])


def starts(stage: Stage) -> list[str]:
    return [line for line in told(stage) if line.startswith("start")]


def machines(stage: Stage) -> list[dict[str, Any]]:
    return stage.cloud.instances()


def only_machine(stage: Stage) -> str:
    [one] = machines(stage)
    return str(one["id"])


def switched_off(stage: Stage, instance: str, why: str) -> None:
    """By itself, and nothing of it lives on."""
    stage.until(
        f"{instance} is off", lambda: stage.cloud.instance(instance)["state"] == "ended", limit_s=60.0
    )
    seen = stage.cloud.instance(instance)
    assert seen["end_code"] in SWITCHED_OFF, f"{seen}\n{stage.story(str(seen['job']))}"
    folder = stage.home / CLOUD_FOLDER / "instances" / instance
    word = folder / "disk" / FOLDER / POWER_OFF  # what the agent leaves, if it was the agent
    said = stage.cloud.console(instance) + (word.read_text() if word.exists() else "")
    assert why in said, said
    left = {pid: line for pid, line in stage.processes().items() if instance in line}
    assert not left


def ends(stage: Stage, job: str, starts_: int) -> None:
    """It may end now: it does, after so many starts, and no machine is left."""
    (stage.folder / "go").touch()
    stage.until_state(job, "SUCCEEDED")
    stage.until("no machine is left", lambda: not stage.living_machines(job))
    assert len(starts(stage)) == starts_, stage.story(job)


def agent_of(stage: Stage, instance: str) -> int:
    mark = f"instances/{instance}/"
    [pid] = [pid for pid, line in stage.processes().items() if "-m outlast --config" in line and mark in line]
    return pid


def test_a_machine_on_which_no_agent_is_installed_in_time(stage: Stage) -> None:
    """The controller dies between the launch and the installation."""
    stage.cloud.configure(boot_s=2.0)
    job = begin(stage, install_limit_s=3.0)
    stage.until("its machine is launched", lambda: machines(stage))
    stage.kill_server()
    first = only_machine(stage)
    switched_off(stage, first, "no agent was installed within 3 s")
    stage.cloud.configure(boot_s=0.0)
    stage.start()
    trains(stage, 1)
    assert len(machines(stage)) == 2
    ends(stage, job, 1)


def test_an_agent_that_hangs_takes_its_trainer_along(stage: Stage) -> None:
    """The agent alone is stopped; the switch is not a part of it."""
    job = begin(stage, hung_after_s=10.0)
    trains(stage)
    first = only_machine(stage)
    os.kill(agent_of(stage, first), signal.SIGSTOP)
    trains(stage)  # until the switch acts, the trainer knows nothing of it
    switched_off(stage, first, "the agent has not moved for 10 s")
    trains(stage, 2)
    ends(stage, job, 2)


def test_a_node_that_reaches_neither_controller_nor_bucket_for_its_lease(stage: Stage) -> None:
    job = begin(stage, lease_s=5.0, lease_margin_s=600.0)
    trains(stage)
    first, bucket = only_machine(stage), stage.home / "bucket"
    stage.cloud.silence(first)
    bucket.rename(stage.home / "away")
    switched_off(stage, first, "the whole lease of 5 s")
    (stage.home / "away").rename(bucket)
    trains(stage, 2)
    ends(stage, job, 2)


def test_a_node_whose_work_was_taken_over_while_it_stood_still(stage: Stage) -> None:
    """Frozen beyond its lease, and the cloud does not carry the termination out."""
    job = begin(stage, lease_s=8.0, lease_margin_s=1.0, silent_after_s=4.0, fenced_off_s=2.0)
    trains(stage)
    first = only_machine(stage)
    stage.cloud.throttle(None, op="terminate")
    stage.cloud.freeze(first)
    trains(stage, 2)
    stage.cloud.thaw(first)
    switched_off(stage, first, "no new assignment for 2 s")
    stage.cloud.clear()
    ends(stage, job, 2)


def test_a_machine_whose_work_is_over_while_no_controller_is_there(stage: Stage) -> None:
    job = begin(stage, over_off_s=3.0)
    trains(stage)
    first = only_machine(stage)
    stage.kill_server()
    (stage.folder / "go").touch()
    switched_off(stage, first, "no new assignment for 3 s")
    stage.start()
    ends(stage, job, 1)
    assert only_machine(stage) == first


def test_a_machine_that_has_lived_its_life(stage: Stage) -> None:
    """Whatever runs on it, and whoever is there."""
    job = begin(stage, instance_life_max_s=20.0)
    trains(stage)
    first = only_machine(stage)
    switched_off(stage, first, "its life of at most 20 s is over")
    trains(stage, 2)
    ends(stage, job, 2)


def test_the_silence_of_the_controller_is_no_cause(stage: Stage) -> None:
    """Away for longer than every time that is set, while the bucket can be reached: nothing happens."""
    job = begin(
        stage, install_limit_s=10.0, hung_after_s=15.0, lease_s=15.0, over_off_s=5.0, fenced_off_s=5.0
    )
    trains(stage)
    first = only_machine(stage)
    stage.kill_server()
    before = len(told(stage))
    stage.until("it has trained on for a long while", lambda: len(told(stage)) > before + 150)
    stage.start()
    stage.until_state(job, "RUNNING")
    trains(stage)
    assert [one["state"] for one in machines(stage)] == ["running"]
    assert only_machine(stage) == first
    ends(stage, job, 1)
