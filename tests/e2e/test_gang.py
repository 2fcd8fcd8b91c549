"""A job on two machines that loses one of them ends with the states of a run that was not disturbed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.e2e.stage import PYTHON, Stage, Status, first_steps, track

STEPS, NODES = 160, 2
TRAINER = Path(__file__).with_name("gang_train.py").read_text()


def undisturbed() -> dict[str, str]:
    """What `gang_train.py` computes, without any machine."""

    def mixed(*words: object) -> str:
        return hashlib.sha256(" ".join(map(str, words)).encode()).hexdigest()

    states = [mixed("start", rank) for rank in range(NODES)]
    for step in range(1, STEPS + 1):
        states = [mixed(step, *states, rank) for rank in range(NODES)]
    return {str(rank): state for rank, state in enumerate(states)}


def machine_of(stage: Stage, job: str, rank: int) -> str:
    status: Status = stage.status(job)
    launch = status["attempts"][-1]["launches"][rank]
    return next(str(one["id"]) for one in status["instances"] if one["launch_id"] == launch)


def test_a_gang_that_loses_a_node_ends_as_if_nothing_had_happened(shared: Stage, tmp_path: Path) -> None:
    path = tmp_path / "track"
    job = shared.submit(
        "gang",
        {"train.py": TRAINER},
        run=f"{PYTHON} -u train.py",
        nodes=NODES,
        env={"STEPS": str(STEPS), "SAVE_EVERY": "20", "TRACK": str(path)},
        outputs=["final.json"],
    )
    shared.until_saved(job)
    shared.cloud.interrupt(machine_of(shared, job, 1), notice=False)
    done = shared.until_state(job, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", shared.story(job)
    assert done["nodes"] == NODES
    assert not shared.events(job, "attempt.failed"), shared.story(job)
    shared.outlast("outputs", "get", "gang", tmp_path / "got")
    assert json.loads((tmp_path / "got" / "final.json").read_text()) == undisturbed()
    for rank in range(NODES):
        starts = first_steps(track(Path(f"{path}.{rank}")))
        assert len(starts) == 2
        assert all(start % 20 == 1 for start in starts.values())
    # The machine that was left is used again: three served two attempts of two.
    assert len(done["instances"]) == NODES + 1
    pointer = shared.pointer(job)
    assert len(pointer["instances"]) == NODES
    manifest = json.loads((shared.job_folder(job) / pointer["head"]["key"]).read_text())
    assert {f["path"] for f in manifest["files"]} == {"rank-0.json", "rank-1.json", "outlast.json"}
    assert "node 1 of 2 starts at" in shared.outlast("logs", "gang", "--rank", "1").out
    assert "node 1" in shared.outlast("status", "gang").out


def test_a_notice_to_one_node_costs_the_gang_no_step(shared: Stage, tmp_path: Path) -> None:
    path = tmp_path / "track"
    job = shared.submit(
        "noticed-gang",
        {"train.py": TRAINER},
        run=f"{PYTHON} -u train.py",
        nodes=NODES,
        env={"STEPS": str(STEPS), "SAVE_EVERY": "1000", "TRACK": str(path)},
        outputs=["final.json"],
    )
    shared.until_status(job, "it trains", lambda status: (status["step"] or 0) > 10)
    shared.cloud.interrupt(machine_of(shared, job, 1), notice_s=40.0)
    done = shared.until_state(job, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", shared.story(job)
    shared.outlast("outputs", "get", "noticed-gang", tmp_path / "got")
    assert json.loads((tmp_path / "got" / "final.json").read_text()) == undisturbed()
    for rank in range(NODES):
        steps = [step for _, step in track(Path(f"{path}.{rank}"))]
        assert steps == list(range(1, STEPS + 1)), "no step was trained twice"
