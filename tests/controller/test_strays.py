"""Machines of no job, over all clouds: what is found, what is never ended, what was not looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contracts.rows import instance, job
from tests.fakes.api import STRAY
from tests.fakes.hand_clock import HandClock

from outlast_orchestrator.controller.strays import NOT_LISTED, TAKEN_OVER, StrayFinder
from outlast_orchestrator.controller.sweep import Adoption
from outlast_orchestrator.core.errors import Denied, Scope, ScopeKind
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.types import Instance, Offer, Want
from outlast_orchestrator.core.view import RegionListing, Seen
from outlast_orchestrator.store.db import SqlStore, open_store


class Cloud:
    """A provider with two regions; only what the finder asks."""

    name = "here"

    def __init__(self) -> None:
        self.listed: list[Seen] = []
        self.problem = ""
        self.denied = False
        self.ended: list[str] = []

    def regions(self) -> list[str]:
        return ["r1", "r2"]

    def instances(self, region: str) -> RegionListing:
        if region == "r2":
            return RegionListing("here", region, 0.0, problem=self.problem)
        return RegionListing("here", region, 0.0, tuple(self.listed))

    def terminate(self, instance: Instance) -> None:
        if self.denied:
            raise Denied("ec2:TerminateInstances is not allowed", Scope(ScopeKind.ACCOUNT, "here"))
        self.ended.append(instance.id)

    def offers(self, want: Want) -> list[Offer]:
        raise AssertionError(f"nobody asked for {want}")

    def launch(self, request: object) -> None:
        raise AssertionError(f"nobody asked for {request}")

    def check(self) -> list[str]:
        return []


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with closing(open_store(f"sqlite:///{tmp_path / 'store.db'}", HandClock())) as found:
        yield found


@pytest.fixture
def cloud(store: SqlStore) -> Cloud:
    made = Cloud()
    made.listed = [replace(STRAY, owner=store.owner(), job="unknown")]
    return made


def finder(store: SqlStore, cloud: Cloud) -> StrayFinder:
    return StrayFinder({"here": cloud}, store, HandClock(), Adoption(b"key", 3600.0, 600.0))


def test_one_that_is_named_is_ended(store: SqlStore, cloud: Cloud) -> None:
    (found,) = finder(store, cloud).find().found
    assert (found.seen.id, found.why) == ("i-stray", "its job is not known here")
    (ended,) = finder(store, cloud).end(["i-stray", "i-stray"], "me")
    assert (ended.refused, cloud.ended) == ("", ["i-stray"])


def test_one_that_is_not_named_is_left(store: SqlStore, cloud: Cloud) -> None:
    assert finder(store, cloud).end([], "me") == []
    assert cloud.ended == []


def test_one_that_is_no_stray_any_more_is_left(store: SqlStore, cloud: Cloud) -> None:
    """It was shown a while ago; meanwhile a job has it, or it is gone."""
    store.submit(job(), Event(Kind.TELL, "x"))
    term = store.lead("me", 60.0)
    assert term is not None
    store.commit(term, [instance(STRAY.launch_id, id=STRAY.id)], [])
    cloud.listed = [replace(cloud.listed[0], job="j1")]
    assert [one.refused for one in finder(store, cloud).end(["i-stray", "i-else"], "me")] == [NOT_LISTED] * 2
    assert cloud.ended == []


def test_one_of_a_known_job_is_the_servers_own_business(store: SqlStore, cloud: Cloud) -> None:
    store.submit(job(), Event(Kind.TELL, "x"))
    cloud.listed = [replace(cloud.listed[0], job="j1")]
    assert [one.refused for one in finder(store, cloud).end(["i-stray"], "me")] == [TAKEN_OVER]
    assert cloud.ended == []


def test_another_owners_machine_is_never_one(store: SqlStore, cloud: Cloud) -> None:
    cloud.listed = [replace(cloud.listed[0], owner="another")]
    assert finder(store, cloud).find().found == ()


def test_a_region_that_fails_is_named_and_a_refusal_said(store: SqlStore, cloud: Cloud) -> None:
    cloud.problem, cloud.denied = "the region does not answer", True
    found = finder(store, cloud)
    assert found.find().unlisted == ("here/r2: the region does not answer",)
    (ended,) = found.end(["i-stray"], "me")
    assert "TerminateInstances" in ended.refused
