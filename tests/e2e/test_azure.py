"""A job on Azure: launched by the real SDK, on machines with a real systemd, its bucket at az://."""

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
from tests.servers.arm import GROUP, IDENTITY, SUBSCRIPTION
from tests.servers.azure_machines import AzureCloud, azure_yard
from tests.servers.azure_metadata import TOKEN_PATH

from outlast_orchestrator.storage_keys import MACHINE

REGION = "eastus"


@pytest.fixture(params=["job"])
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CloudStage[AzureCloud]]:
    with (
        azure_yard(tmp_path / "machines") as yard,
        cloud_stage(tmp_path, yard, _account(yard.cloud, request.param), "A100-80GB") as made,
    ):
        yield made


def _account(cloud: AzureCloud, whose_keys: str) -> Account:
    """The server's own identity is all that it has, for machines and bucket alike. Machines have one only
    where it is to bring them to the bucket."""
    config = cloud.server.config()
    region = config.regions[REGION]
    options = {
        "subscription": SUBSCRIPTION,
        "resource_group": GROUP,
        "regions": {
            REGION: {
                "subnet": region.subnet,
                "security_group": region.security_group,
                "zones": list(region.zones),
            }
        },
        "identity": IDENTITY if whose_keys == MACHINE else "",
        "endpoint_url": config.endpoint_url,
        "ca_file": config.ca_file,
        "prices_url": config.prices_url,
        "instance_types": ["Standard_NC24ads_A100_v4"],
    }
    bucket = cloud.bucket
    place = {"endpoint_url": bucket.tls_url, "ca_file": bucket.ca_file}
    keys = MACHINE if whose_keys == MACHINE else place
    return Account("azure", options, bucket.url(prefix="outlast"), keys, bucket.identities.environment)


def test_a_job_survives_its_machine_and_leaves_none_behind(here: CloudStage[AzureCloud]) -> None:
    finds_nothing_wrong(here, "azure")
    done = survives_its_machine(here)
    assert "evictspotvm" in done["attempts"][0]["closed"]["why"], "the log is the proof"
    leaves_nothing_behind(here, done["id"])
    group = here.yard.cloud.server.group
    assert not group.machines
    assert not group.others, "nor an interface, an address or a disk"


@pytest.mark.parametrize("here", [MACHINE], indirect=True)
def test_a_notice_of_the_metadata_service_moves_the_job_in_time(here: CloudStage[AzureCloud]) -> None:
    first = moves_in_time(here)
    here.stage.until("it is given back: it costs until then", lambda: first not in here.yard.running())
    told = here.yard.cloud.metadata[first]
    assert not told.started, "nobody told Azure to go ahead before the save"
    assert any(asked.path == TOKEN_PATH for asked in told.asked), "it reached the bucket by its own identity"
    is_cancelled(here)
