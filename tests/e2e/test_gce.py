"""A job on Compute Engine: launched by the real SDK, on machines with a real systemd, its bucket at gs://."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.cloud_stage import (
    Account,
    CloudStage,
    cloud_stage,
    finds_nothing_wrong,
    is_cancelled,
    leaves_nothing_behind,
    moves_in_time,
    submit,
    survives_its_machine,
)
from tests.servers.compute import PROJECT, ZONES
from tests.servers.gce_machines import GceCloud, gce_yard

REGION = "here-1"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[CloudStage[GceCloud]]:
    with (
        gce_yard(tmp_path / "machines") as yard,
        cloud_stage(tmp_path, yard, _account(yard.cloud), "L4") as made,
    ):
        yield made


def _account(cloud: GceCloud) -> Account:
    """One key file is all that the server has, for machines and bucket alike."""
    options = {
        "project": PROJECT,
        "regions": {REGION: {"zones": list(ZONES[REGION])}},
        "endpoint_url": cloud.server.url,
        "instance_types": ["g2-standard-4"],
    }
    keys = {"GOOGLE_APPLICATION_CREDENTIALS": str(cloud.account.file)}
    tokens = {"endpoint_url": cloud.exchange}
    return Account("gcp", options, cloud.bucket.url(prefix="outlast"), tokens, keys)


def test_a_job_survives_its_machine_and_leaves_none_behind(here: CloudStage[GceCloud]) -> None:
    finds_nothing_wrong(here, "gcp")
    done = survives_its_machine(here)
    assert "compute.instances.preempted" in done["attempts"][0]["closed"]["why"], "an operation is the proof"
    leaves_nothing_behind(here, done["id"])
    assert not here.yard.cloud.server.instances, "nor a disk that is paid for"


def test_a_notice_of_the_metadata_service_moves_the_job_in_time(here: CloudStage[GceCloud]) -> None:
    first = moves_in_time(here)
    told = here.yard.cloud.metadata[first].asked
    assert any("wait_for_change" in asked.query for asked in told), (
        "it was told at once, not at the next look"
    )
    here.stage.until("it is given back: it costs until then", lambda: first not in here.yard.running())
    is_cancelled(here)


def test_a_machine_that_is_switched_off_costs_neither_a_lease_nor_a_disk(here: CloudStage[GceCloud]) -> None:
    """Its kernel panicked, say. It is listed as stopped for good, and stays there until it is deleted."""
    stage, made = here.stage, here.yard
    job = submit(here, 150)
    stage.until_saved(job)
    (first,) = made.running()
    made.machines[first].power_off()
    stage.until_saved(job, generation=2)
    done = stage.until_state(job, "SUCCEEDED")
    assert "guestTerminate" in done["attempts"][0]["closed"]["why"]
    leaves_nothing_behind(here, job)
    stage.until("no disk is left", lambda: not made.cloud.server.instances)
