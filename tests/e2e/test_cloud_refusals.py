"""What a cloud refuses, loses or takes back at once, through a whole server: told once, never paid twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml
from tests.e2e.azure_side import AzureSide
from tests.e2e.stage import Stage
from tests.servers.arm import arm
from tests.servers.azure_identity import Identities
from tests.servers.compute import PROJECT, ZONES, Compute, compute
from tests.servers.ec2 import ACCOUNT, KEYS, Ec2, ec2
from tests.servers.gcs import gcs_server
from tests.servers.google_account import Account
from tests.servers.http_service import serving

REGION = "us-east-1"


class Side(Protocol):
    """A cloud as its owner sees it in the console: `zones` in which one kind of machine could be had."""

    name: str
    gpu: str
    zones: tuple[str, ...]
    options: dict[str, Any]

    def dry(self, zone: str) -> None: ...

    def zero_quota(self) -> tuple[str, int]:
        """Its name, and in how many places there is one of it."""
        ...

    def lose_reply(self) -> None: ...

    def living(self) -> list[str]:
        """The zones of the machines that are paid for now."""
        ...

    def made(self) -> int:
        """How many machines there ever were."""
        ...

    def take_all(self) -> None: ...


class GceSide:
    name, gpu, zones = "gcp", "L4", tuple(zone for found in ZONES.values() for zone in found)

    def __init__(self, server: Compute) -> None:
        self._server = server
        regions = {name: {"zones": list(zones)} for name, zones in ZONES.items()}
        place = {"project": PROJECT, "regions": regions, "endpoint_url": server.url}
        self.options = {**place, "instance_types": ["g2-standard-4"]}

    def dry(self, zone: str) -> None:
        words = f"The zone '{zone}' does not have enough resources available to fulfill the request."
        self._server.trouble.dry[zone, "g2-standard-4", "spot"] = ("ZONE_RESOURCE_POOL_EXHAUSTED", words)

    def zero_quota(self) -> tuple[str, int]:
        for name, zones in ZONES.items():
            words = f"Quota 'PREEMPTIBLE_NVIDIA_L4_GPUS' exceeded.  Limit: 0.0 in region {name}."
            for zone in zones:
                self._server.trouble.dry[zone, "g2-standard-4", "spot"] = ("QUOTA_EXCEEDED", words)
        return "PREEMPTIBLE_NVIDIA_L4_GPUS", len(ZONES)

    def lose_reply(self) -> None:
        self._server.trouble.lose_replies = 1

    def living(self) -> list[str]:
        return [one["zone"].rpartition("/")[2] for one in list(self._server.instances.values())]

    def made(self) -> int:
        done = [one for one in list(self._server.operations) if one["operationType"] == "insert"]
        return len([one for one in done if "error" not in one])

    def take_all(self) -> None:
        for one in list(self._server.instances.values()):
            self._server.preempt(one["id"])


class Ec2Side:
    name, gpu = "aws", "T4"
    zones: tuple[str, ...] = (f"{REGION}a", f"{REGION}b")

    def __init__(self, server: Ec2) -> None:
        self._server = server
        region = server.config(REGION).regions[REGION]
        place = {"subnets": region.subnets, "security_groups": list(region.security_groups)}
        self.options = {"regions": {REGION: place}, "endpoint_url": server.url}
        self.options["instance_types"] = ["g4dn.xlarge"]
        self._others = {one.id for one in self._everyone()}  # of earlier tests

    def dry(self, zone: str) -> None:
        self._server.trouble.dry[zone, "g4dn.xlarge", "spot"] = "InsufficientInstanceCapacity"

    def zero_quota(self) -> tuple[str, int]:
        for zone in self.zones:
            self._server.trouble.dry[zone, "g4dn.xlarge", "spot"] = "MaxSpotInstanceCountExceeded"
        return "All G and VT Spot Instance Requests", 1

    def lose_reply(self) -> None:
        self._server.trouble.lose_replies = 1

    def living(self) -> list[str]:
        return [one.placement.zone for one in self._ours() if one.state != "terminated"]

    def made(self) -> int:
        return len(self._ours())

    def take_all(self) -> None:
        for one in self._ours():
            if one.state != "terminated":
                self._server.take(one.id, REGION)

    def _ours(self) -> list[Any]:
        return [one for one in self._everyone() if one.id not in self._others]

    def _everyone(self) -> list[Any]:
        from moto.ec2.models import ec2_backends

        found: list[Any] = ec2_backends[ACCOUNT][REGION].all_instances()
        return found


@contextmanager
def _side(name: str, folder: Path) -> Iterator[Side]:
    if name == "gcp":
        with compute() as gce:
            yield GceSide(gce)
    elif name == "azure":
        with arm(folder) as azure:
            yield AzureSide(azure)
    else:
        with ec2() as aws:
            yield Ec2Side(aws)


@pytest.fixture(params=["gcp", "aws", "azure"])
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Stage, Side]]:
    """Machines that are launched stay where they are and never report: nobody comes as far as that here."""
    account, identities = Account(tmp_path / "account.json"), Identities()
    keys = {"GOOGLE_APPLICATION_CREDENTIALS": str(account.file), **{k.upper(): v for k, v in KEYS.items()}}
    with (
        _side(request.param, tmp_path) as side,
        gcs_server() as bucket,
        serving(identities) as identities.url,
    ):
        bucket.signed = account.signed
        keys |= identities.environment
        stage = Stage(tmp_path / "stage", keys)
        settings = {
            "api_url": "https://outlast.example",
            "storage": bucket.url(prefix="outlast"),
            "storage_keys": "machine",
            "providers": {side.name: side.options},
        }
        (stage.home / "controller.yaml").write_text(yaml.safe_dump(settings))
        try:
            stage.start()
            yield stage, side
        finally:
            stage.close()


def submit(stage: Stage, side: Side) -> str:
    return stage.submit("count", {}, run="true", resources={"gpus": [f"{side.gpu}:1"]})


def cancel(stage: Stage, side: Side) -> None:
    stage.outlast("cancel", "count")
    stage.until("nothing is left", lambda: not side.living())


def test_refused_in_every_zone_but_one_it_is_launched_there(here: tuple[Stage, Side]) -> None:
    stage, side = here
    *dry, last = side.zones
    for zone in dry:
        side.dry(zone)
    job = submit(stage, side)
    stage.until("it is launched", side.living)
    assert side.living() == [last]
    found = stage.until_status(job, "it is known", lambda s: any(one["id"] for one in s["instances"]))
    there = [one["zone"] for one in found["instances"] if one["id"]]
    assert there == [last], "and so a person is told"
    refused = [event["data"]["pool"] for event in stage.events(job, "launch.refused")]
    assert len(refused) == len(set(refused)) <= len(dry), "no zone is asked twice"
    assert not stage.events(job, "tell"), "a lack of machines is nothing that a person could mend"
    cancel(stage, side)
    assert side.made() == 1


def test_a_quota_of_zero_is_told_once_with_its_name_and_what_to_do(here: tuple[Stage, Side]) -> None:
    stage, side = here
    words, places = side.zero_quota()
    job = submit(stage, side)
    found = stage.until_status(job, "it waits", lambda status: "every offer is blocked" in status["why"])
    told = [event["why"] for event in stage.events(job, "tell")]
    assert len(told) == places, "once for each place that has such a quota of its own, not for each zone"
    assert all(words in text and "ask for more at https://" in text for text in (*told, found["why"]))
    assert side.made() == 0


def test_a_launch_whose_reply_was_lost_is_one_machine(here: tuple[Stage, Side]) -> None:
    stage, side = here
    side.lose_reply()
    job = submit(stage, side)
    stage.until_status(job, "it is known", lambda status: any(one["id"] for one in status["instances"]))
    assert stage.events(job, "launch.unsure")
    cancel(stage, side)
    assert side.made() == 1


def test_a_machine_that_is_taken_as_soon_as_it_is_there_is_replaced(here: tuple[Stage, Side]) -> None:
    stage, side = here
    job = submit(stage, side)
    stage.until("it is launched", side.living)
    side.take_all()
    stage.until("there is another one", side.living)
    (gone,) = stage.events(job, "instance.gone")
    assert gone["data"]["verdict"] == "preempted"
    cancel(stage, side)
    assert side.made() == 2


@pytest.mark.parametrize("here", ["azure"], indirect=True)
def test_a_machine_that_is_only_half_made_is_deleted_and_told(here: tuple[Stage, AzureSide]) -> None:
    """Azure alone makes a machine first, and fails then."""
    stage, side = here
    side.half_make()
    job = submit(stage, side)
    found = stage.until_status(job, "it waits", lambda status: "every offer is blocked" in status["why"])
    assert "OS Provisioning did not finish in time" in found["why"]
    refused = [event["data"]["pool"] for event in stage.events(job, "launch.refused")]
    assert len(refused) == side.made() == len(side.zones), "each zone once"
    assert not side.resources(), "and nothing of it is paid for"
    stage.outlast("cancel", "count")


@pytest.mark.parametrize("here", ["azure"], indirect=True)
def test_a_machine_whose_end_no_log_explains_is_replaced_all_the_same(here: tuple[Stage, AzureSide]) -> None:
    """The log comes minutes later. That it is not there by its name is all that is known."""
    stage, side = here
    side.silence_the_log()
    job = submit(stage, side)
    stage.until_status(
        job, "it is listed", lambda status: [one["phase"] for one in status["instances"]] == ["booting"]
    )
    side.take_all()
    stage.until("there is another one", side.living)
    (gone,) = stage.events(job, "instance.gone")
    assert "is absent from" in gone["why"]
    assert gone["data"]["verdict"] == "probably preempted"
    cancel(stage, side)
    assert side.made() == 2
