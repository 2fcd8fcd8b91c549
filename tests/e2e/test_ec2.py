"""A job on EC2: launched by the real SDK, on machines with a real systemd that nothing but SSH reaches."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
import yaml
from tests.e2e.stage import Stage, one_line
from tests.servers.ec2_machines import HERE, Yard, yard
from tests.servers.seaweedfs import ADMIN, ROLE

REGION = "us-east-1"
# Counts, saves every fifth step and when it is asked to; its Python has no package of ours installed.
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
    step += 1
    time.sleep(0.1)
    outlast.log(step=step)
    if step % 5 == 0:
        save()
pathlib.Path("total.txt").write_text(str(step))
outlast.done()
"""


@dataclass
class Ec2Stage:
    stage: Stage
    yard: Yard


@pytest.fixture
def ec2_stage(tmp_path: Path) -> Iterator[Ec2Stage]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert(HERE)
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "api.pem")
    with yard(tmp_path / "machines") as made:
        keys = {f"AWS_{name.upper()}": key for name, key in ADMIN.items()}
        stage = Stage(tmp_path / "stage", {"OUTLAST_CA_FILE": str(tmp_path / "ca.pem"), **keys})
        try:
            settings = {
                "host": HERE,
                "cert_file": str(tmp_path / "api.pem"),
                "key_file": str(tmp_path / "api.pem"),
                "ca_file": str(tmp_path / "ca.pem"),
                "storage": made.s3.url(prefix="outlast"),
                "storage_keys": {"role": ROLE, "endpoint_url": made.s3.endpoint},
                "providers": {"aws": _account(made)},
            }
            (stage.home / "controller.yaml").write_text(yaml.safe_dump(settings))
            stage.start()
            yield Ec2Stage(stage, made)
        finally:
            stage.close()


def _account(made: Yard) -> dict[str, object]:
    region = made.server.config(REGION).regions[REGION]
    place = {"subnets": region.subnets, "security_groups": list(region.security_groups)}
    return {"regions": {REGION: place}, "endpoint_url": made.server.url, "instance_types": ["g4dn.xlarge"]}


def submit(stage: Stage, steps: int) -> str:
    return stage.submit(
        "count",
        {"train.py": TRAINER},
        run="python3 train.py",
        env={"STEPS": str(steps)},
        resources={"gpus": ["T4:1"]},
        outputs=["total.txt"],
    )


def test_a_job_survives_its_machine_and_leaves_none_behind(ec2_stage: Ec2Stage) -> None:
    stage, made = ec2_stage.stage, ec2_stage.yard
    checked = stage.outlast("doctor", "--json").json["clouds"]
    assert [(one["cloud"], one["problems"]) for one in checked] == [("aws", []), ("bucket keys", [])]
    assert f"SSH to port 22; its machines report to https://{HERE}:" in checked[0]["way"]
    job = submit(stage, 150)
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
    stage.until("no machine is left", lambda: not made.running())
    stage.until_status(job, "that is known", lambda s: all(one["phase"] == "gone" for one in s["instances"]))
    one_line(stage.outlast("ssh", "count", code=2).err, "count has no machine now: it is SUCCEEDED")
    stage.outlast("outputs", "get", "count", stage.desk / "got")
    assert (stage.desk / "got" / "total.txt").read_text() == "150"
    told = json.dumps(stage.events(job)) + (stage.home / "controller.log").read_text()
    assert "PRIVATE KEY" not in told
    assert b"PRIVATE KEY" not in (stage.home / "outlast.db").read_bytes()


def test_a_notice_of_the_metadata_service_moves_the_job_in_time(ec2_stage: Ec2Stage) -> None:
    stage, made = ec2_stage.stage, ec2_stage.yard
    job = submit(stage, 3000)
    before = stage.until_saved(job)["durable"]["step"]
    (first,) = made.running()
    made.notice(first, 40.0)
    stage.until_saved(job, generation=2)
    assert first in made.running(), "the new one trains before the old one is gone"
    made.take(first)
    (notice,) = stage.events(job, "notice.seen")
    assert "terminate" in notice["why"]
    attempts = stage.status(job)["attempts"]
    assert before < attempts[1]["start_step"] == attempts[0]["last_step"], "no step was lost"
    assert "terminate" in attempts[0]["closed"]["why"], "it left by itself, for the notice"
    assert attempts[0]["noticed"]
    stage.outlast("cancel", "count")
    stage.until_state(job, "CANCELLED")
    stage.until("no machine is left", lambda: not made.running())
