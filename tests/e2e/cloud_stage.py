"""A whole Outlast on a cloud whose machines only SSH reaches, and what a job must live through there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import trustme
import yaml
from tests.e2e.stage import Stage, Status, one_line
from tests.servers.yard import HERE, C, Yard

# Counts, saves every fifth step and when it is asked to; the first time it may stay at one of them. Its
# Python has no package of ours installed.
TRAINER = """
import os, pathlib, time
import outlast
root = pathlib.Path(os.environ["OUTLAST_CHECKPOINT_DIR"])
begin = os.environ.get("OUTLAST_RESUME_FROM")
step = int(pathlib.Path(begin).read_text()) if begin else 0
print("starting at", step, flush=True)

def save():
    fresh = root / f".step_{step}.new"
    fresh.write_text(str(step))
    fresh.rename(root / f"step_{step}.bin")

while step < int(os.environ["STEPS"]):
    while outlast.should_save():
        save()
    if step == int(os.environ["STAYS_AT"]) and not begin:
        time.sleep(0.1)
        continue
    step += 1
    time.sleep(0.1)
    outlast.log(step=step)
    if step % 5 == 0:
        save()
pathlib.Path("total.txt").write_text(str(step))
outlast.done()
"""


@dataclass(frozen=True)
class CloudStage(Generic[C]):
    stage: Stage
    yard: Yard[C]
    gpu: str  # that its machines have one of


@dataclass(frozen=True)
class Account:
    """As a person configures it. `environment`: of the server, and of its commands."""

    name: str
    options: Mapping[str, Any]
    storage: str
    storage_keys: Mapping[str, str] | str
    environment: Mapping[str, str]


@contextmanager
def cloud_stage(folder: Path, yard: Yard[C], account: Account, gpu: str) -> Iterator[CloudStage[C]]:
    """The server listens where machines reach it, with a certificate of an authority of its own."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate = authority.issue_cert(HERE)
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "api.pem")
    stage = Stage(folder / "stage", {"OUTLAST_CA_FILE": str(folder / "ca.pem"), **account.environment})
    try:
        settings = {
            "host": HERE,
            "cert_file": str(folder / "api.pem"),
            "key_file": str(folder / "api.pem"),
            "ca_file": str(folder / "ca.pem"),
            "storage": account.storage,
            "storage_keys": account.storage_keys,
            "providers": {account.name: dict(account.options)},
        }
        (stage.home / "controller.yaml").write_text(yaml.safe_dump(settings))
        stage.start()
        yield CloudStage(stage, yard, gpu)
    finally:
        stage.close()


def submit(here: CloudStage[C], steps: int, stays_at: int = -1) -> str:
    return here.stage.submit(
        "count",
        {"train.py": TRAINER},
        run="python3 train.py",
        env={"STEPS": str(steps), "STAYS_AT": str(stays_at)},
        resources={"gpus": [f"{here.gpu}:1"]},
        outputs=["total.txt"],
    )


def finds_nothing_wrong(here: CloudStage[C], name: str) -> None:
    checked = here.stage.outlast("doctor", "--json").json["clouds"]
    assert [(one["cloud"], one["problems"]) for one in checked] == [(name, []), ("bucket keys", [])]
    assert f"SSH to port 22; its machines report to https://{HERE}:" in checked[0]["way"]


def survives_its_machine(here: CloudStage[C]) -> Status:
    """It is taken without a word. Returns the status of the job that is done."""
    stage, made = here.stage, here.yard
    job = submit(here, 150, stays_at=50)  # a slow person finds it there, and the second one saves in time
    stage.until_saved(job)
    (first,) = made.running()
    assert stage.outlast("ssh", "count", "--", "cat", "/proc/1/comm").out == "systemd\n"
    assert stage.outlast("ssh", "count", "--", "exit 7", code=7).out == ""
    made.take(first)
    stage.until_saved(job, generation=2)
    done = stage.until_state(job, "SUCCEEDED")
    assert len(done["attempts"]) == 2
    assert done["attempts"][1]["start_step"] >= 5
    assert done["attempts"][0]["closed"]["verdict"] == "preempted"
    stage.outlast("outputs", "get", "count", stage.desk / "got")
    assert (stage.desk / "got" / "total.txt").read_text() == "150"
    return done


def leaves_nothing_behind(here: CloudStage[C], job: str) -> None:
    """No machine, and no key of one in anything that is kept."""
    stage, made = here.stage, here.yard
    stage.until("no machine is left", lambda: not made.running())
    stage.until_status(job, "that is known", lambda s: all(one["phase"] == "gone" for one in s["instances"]))
    one_line(stage.outlast("ssh", "count", code=2).err, "count has no machine now: it is SUCCEEDED")
    told = json.dumps(stage.events(job)) + (stage.home / "controller.log").read_text()
    assert "PRIVATE KEY" not in told
    assert b"PRIVATE KEY" not in (stage.home / "outlast.db").read_bytes()


def moves_in_time(here: CloudStage[C]) -> str:
    """For a notice: no step is lost. Returns the machine that it was for."""
    stage, made = here.stage, here.yard
    job = submit(here, 3000)
    before = stage.until_saved(job)["durable"]["step"]
    (first,) = made.running()
    made.notice(first)
    stage.until_saved(job, generation=2)
    (notice,) = stage.events(job, "notice.seen")
    assert "terminate" in notice["why"]
    attempts = stage.status(job)["attempts"]
    assert before < attempts[1]["start_step"] == attempts[0]["last_step"], "no step was lost"
    assert "terminate" in attempts[0]["closed"]["why"], "it left by itself, for the notice"
    assert attempts[0]["noticed"]
    return first


def is_cancelled(here: CloudStage[C]) -> None:
    stage, made = here.stage, here.yard
    stage.outlast("cancel", "count")
    stage.until("no machine is left", lambda: not made.running())
