"""A training whose state becomes NaN: resumed once from the last good checkpoint, then a person is told."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.stage import PYTHON, Stage, Status
from tests.e2e.trainers import SICK

LAST_GOOD = 40


def test_a_state_that_becomes_nan_again_and_again_stops_the_job_and_is_never_resumed_from(
    shared: Stage, tmp_path: Path
) -> None:
    healed, go = tmp_path / "healed", tmp_path / "go"
    env = {"STEPS": "300", "POISON": str(LAST_GOOD + 3), "HEALED": str(healed), "GO": str(go)}
    keys = {"run": f"{PYTHON} -u train.py", "env": env, "outputs": ["total.txt"]}
    job = shared.submit("sick", {"train.py": SICK}, **keys)

    def saved(status: Status) -> bool:
        return status["durable"] is not None and bool(status["durable"]["step"] == LAST_GOOD)

    shared.until_status(job, "the last good save is durable", saved)
    go.touch()
    failed = shared.until_state(job, "FAILED")
    # Twice, each from the last good one; nothing of what came after it is anywhere in the chain.
    assert [attempt["start_step"] for attempt in failed["attempts"]] == [0, LAST_GOOD]
    assert [event["data"]["times"] for event in shared.events(job, "attempt.unhealthy")] == ["1", "2"]
    assert max(ref["step"] for ref in shared.pointer(job)["kept"]) == LAST_GOOD
    refused = shared.events(job, "save.quarantined")
    assert len(refused) >= 6
    assert all("layer.0.w" in event["why"] or "layer.#.w" in event["why"] for event in refused)
    assert not shared.events(job, "attempt.failed")
    told = shared.events(job, "tell")[-1]["why"]
    assert f"the last good state is step {LAST_GOOD}" in told
    assert "`outlast resume sick`" in told
    assert "quarantined" in shared.outlast("status", "sick").out
    assert "`checkpoint.health`" in shared.outlast("why", "sick").out
    shared.until("its machine is released", lambda: not shared.living_machines(job))

    healed.touch()
    shared.resume("sick", job)
    done = shared.until_state(job, "SUCCEEDED", "FAILED")
    assert done["state"] == "SUCCEEDED", shared.story(job)
    assert done["attempts"][-1]["start_step"] == LAST_GOOD
    shared.outlast("outputs", "get", "sick", tmp_path / "got")
    assert (tmp_path / "got" / "total.txt").read_text() == "300.0"
