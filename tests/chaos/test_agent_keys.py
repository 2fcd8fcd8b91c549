"""Keys for the bucket that run out while the controller who gives them is away: a real agent and store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.agent.node.agent_kit import JOB
from tests.chaos.agent_trouble import Training
from tests.servers.seaweedfs import ADMIN, ROLE, S3Server, seaweedfs

from outlast.bucket.client import open_bucket, scoped
from outlast.cadence import WAKE_GRACE_S
from outlast.protocol.messages import BucketKeys
from outlast.protocol.objects import job_prefix
from outlast_orchestrator.storage.keys.s3 import SessionKeys, StsOptions

LEASE_S = 12.0
LIFE_S = 8.0


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Training]:
    """It trains, and has no keys but those that its controller gives for the job."""
    for name, value in ADMIN.items():
        monkeypatch.setenv(f"AWS_{name.upper()}", value)  # the controller's; the agent does not inherit them
    (tmp_path / "s3").mkdir()
    with seaweedfs(tmp_path / "s3") as s3:
        job = Training(tmp_path / "rig")
        job.rig.bucket = scoped(open_bucket(s3.url(), options=ADMIN), job_prefix(JOB))
        job.node.controller.lease_s = LEASE_S
        job.node.controller.keys = _giver(s3)
        try:
            job.node.start(storage=s3.url())
            job.until("it has saved twice", lambda: job.head() >= 20)
            yield job
        finally:
            job.close()


def _giver(s3: S3Server) -> Callable[[], BucketKeys]:
    source = SessionKeys(StsOptions(ROLE, endpoint_url=s3.endpoint))

    def give() -> BucketKeys:
        """Good for longer; the agent is told that they are not, since no store gives such short ones."""
        return replace(source.issue(s3.url(), JOB), life_s=LIFE_S)

    return give


def test_new_keys_come_before_the_old_ones_are_over(job: Training) -> None:
    given = job.node.controller.keys_given
    job.until("they were renewed twice", lambda: job.node.controller.keys_given >= given + 2)
    job.saves()
    assert job.facts("storage.trouble") == []


def test_it_trains_on_without_keys_beyond_the_lease_and_catches_up(job: Training) -> None:
    controller = job.node.controller
    controller.silent = True
    # An agent that has just begun is given a while before its lease is judged.
    end_s = time.monotonic() + max(LIFE_S + LEASE_S, WAKE_GRACE_S) + LEASE_S
    while time.monotonic() < end_s:
        job.trains_on(20)
    assert not (job.node.home / "off").exists(), "it has not given itself up"
    at = job.head()
    job.trains_on()
    assert job.head() == at, "without keys nothing becomes durable"
    controller.silent = False
    job.saves()
    assert any("saves stay on this machine for now" in why for why in job.facts("tell"))
    assert all("no keys for it" in why for why in job.facts("storage.trouble"))
    job.leaves()
