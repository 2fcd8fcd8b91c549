"""Scheduled Events, over a real socket: only what ends this machine counts, and nothing is acknowledged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.servers.azure_metadata import AzureMetadata
from tests.servers.http_service import serving

from outlast.node.notices import azure
from outlast.node_ports import NoticeUnknown


@pytest.fixture
def server() -> AzureMetadata:
    return AzureMetadata("node-1")


@pytest.fixture
def source(server: AzureMetadata) -> Iterator[azure.ScheduledEvents]:
    with serving(server) as url:
        yield azure.ScheduledEvents(url)


def test_no_events_are_no_notice(source: azure.ScheduledEvents) -> None:
    assert source.poll() == source.poll() == ()


@pytest.mark.parametrize("clock_off_s", [0.0, 3600.0, -3600.0])
def test_an_eviction_leaves_ten_seconds_at_most(
    server: AzureMetadata, source: azure.ScheduledEvents, clock_off_s: float
) -> None:
    server.clock_off_s = clock_off_s
    server.announce("Preempt", 30.0)
    (notice,) = source.poll()
    assert (notice.kind, notice.deadline_in_s) == ("terminate", azure.PREEMPT_LEFT_MAX_S)
    server.events.clear()
    server.announce("Preempt", 5.0)
    (notice,) = source.poll()
    assert notice.deadline_in_s is not None
    assert 3.0 <= notice.deadline_in_s <= 5.0


def test_a_redeployment_leaves_until_it_begins(server: AzureMetadata, source: azure.ScheduledEvents) -> None:
    server.announce("Redeploy", 600.0)
    (notice,) = source.poll()
    assert notice.kind == "terminate"
    assert notice.deadline_in_s is not None
    assert 590.0 <= notice.deadline_in_s <= 600.0


@pytest.mark.parametrize(("kind", "left_s"), [("Preempt", azure.PREEMPT_LEFT_MAX_S), ("Reboot", 0.0)])
def test_what_has_started_has_no_time_any_more(
    server: AzureMetadata, source: azure.ScheduledEvents, kind: str, left_s: float
) -> None:
    server.announce(kind, None)
    (notice,) = source.poll()
    assert notice.deadline_in_s == left_s


def test_other_machines_events_and_a_freeze_are_no_notice(
    server: AzureMetadata, source: azure.ScheduledEvents
) -> None:
    server.announce("Preempt", 30.0, "node-2", "node-11")
    server.announce("Freeze", 900.0)
    server.announce("SpotRebalanceOfTheFuture", 900.0)
    assert source.poll() == ()
    server.announce("Preempt", 30.0, "node-2", "NODE-1")
    assert len(source.poll()) == 1


def test_a_withdrawn_event_is_no_longer_announced(
    server: AzureMetadata, source: azure.ScheduledEvents
) -> None:
    server.announce("Preempt", 30.0)
    assert len(source.poll()) == 1
    server.events.clear()
    assert source.poll() == ()


def test_nothing_is_ever_acknowledged(server: AzureMetadata, source: azure.ScheduledEvents) -> None:
    server.announce("Preempt", 30.0)
    source.poll()
    source.poll()
    assert {asked.method for asked in server.asked} == {"GET"}


def test_a_time_that_can_not_be_read_is_an_unknown_deadline(
    server: AzureMetadata, source: azure.ScheduledEvents
) -> None:
    server.announce("Redeploy", 600.0)
    server.events[0]["NotBefore"] = "soon"
    (notice,) = source.poll()
    assert notice.deadline_in_s is None


@pytest.mark.parametrize("status", [302, 400, 404, 429, 500])
def test_any_other_answer_is_unknown(
    server: AzureMetadata, source: azure.ScheduledEvents, status: int
) -> None:
    server.status = status
    with pytest.raises(NoticeUnknown, match="metadata service"):
        source.poll()


def test_who_does_not_know_its_own_name_knows_nothing(
    server: AzureMetadata, source: azure.ScheduledEvents
) -> None:
    server.compute = {}
    with pytest.raises(NoticeUnknown, match="name"):
        source.poll()


def test_an_answer_without_a_list_is_unknown(server: AzureMetadata, source: azure.ScheduledEvents) -> None:
    server.events = "none"  # type: ignore[assignment]  # what a broken service says
    with pytest.raises(NoticeUnknown, match="no list of events"):
        source.poll()
