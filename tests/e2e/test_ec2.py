"""A job on EC2: launched by the real SDK, on machines with a real systemd that nothing but SSH reaches."""

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
    survives_its_machine,
)
from tests.servers.ec2_machines import Ec2Cloud, ec2_yard
from tests.servers.seaweedfs import ADMIN, ROLE


@pytest.fixture
def here(tmp_path: Path) -> Iterator[CloudStage[Ec2Cloud]]:
    with (
        ec2_yard(tmp_path / "machines") as yard,
        cloud_stage(tmp_path, yard, account(yard.cloud), "T4") as made,
    ):
        yield made


def account(cloud: Ec2Cloud) -> Account:
    region = cloud.server.config(cloud.region).regions[cloud.region]
    place = {"subnets": region.subnets, "security_groups": list(region.security_groups)}
    options = {
        "regions": {cloud.region: place},
        "endpoint_url": cloud.server.url,
        "instance_types": ["g4dn.xlarge"],
    }
    role = {"role": ROLE, "endpoint_url": cloud.s3.endpoint}
    keys = {f"AWS_{name.upper()}": key for name, key in ADMIN.items()}
    return Account("aws", options, cloud.s3.url(prefix="outlast"), role, keys)


def test_a_job_survives_its_machine_and_leaves_none_behind(here: CloudStage[Ec2Cloud]) -> None:
    finds_nothing_wrong(here, "aws")
    done = survives_its_machine(here)
    leaves_nothing_behind(here, done["id"])


def test_a_notice_of_the_metadata_service_moves_the_job_in_time(here: CloudStage[Ec2Cloud]) -> None:
    first = moves_in_time(here)
    assert first in here.yard.running(), "it is left to the market: what that takes in its first hour is free"
    here.yard.take(first)
    is_cancelled(here)
