"""Preemption on Compute Engine, over a real socket: nothing is missed between two readings or invented."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.servers.gce_metadata import GceMetadata
from tests.servers.http_service import serving

from outlast.node.notices import gcp
from outlast.node_ports import NoticeUnknown

HANG_S = 3.0


@pytest.fixture
def server() -> GceMetadata:
    return GceMetadata()


@pytest.fixture
def source(server: GceMetadata) -> Iterator[gcp.PreemptionNotices]:
    with serving(server) as url:
        yield gcp.PreemptionNotices(url, hang_s=HANG_S)


def test_no_preemption_is_no_notice(server: GceMetadata, source: gcp.PreemptionNotices) -> None:
    assert source.poll() == ()
    assert "wait_for_change" not in server.asked[1].query, "the first reading must not wait"


def test_a_preemption_is_told_while_a_reading_waits(
    server: GceMetadata, source: gcp.PreemptionNotices
) -> None:
    server.values[gcp.NOTICE_ATTRIBUTE] = "120"
    assert source.poll() == ()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(source.poll)
        assert server.waiting.wait(10)
        server.set(gcp.PREEMPTED, "TRUE")
        (notice,) = reading.result()
    assert (notice.kind, notice.deadline_in_s) == ("terminate", 120.0)


def test_a_preemption_between_two_readings_is_not_missed(
    server: GceMetadata, source: gcp.PreemptionNotices
) -> None:
    server.values[gcp.NOTICE_ATTRIBUTE] = "120"
    source.poll()
    server.set(gcp.PREEMPTED, "TRUE")
    (notice,) = source.poll()
    assert notice.deadline_in_s == 120.0
    assert source.poll() == (notice,), "it stands, and is read at once"


def test_a_notice_that_nobody_asked_for_leaves_thirty_seconds(
    server: GceMetadata, source: gcp.PreemptionNotices
) -> None:
    source.poll()
    server.set(gcp.PREEMPTED, "TRUE")
    (notice,) = source.poll()
    assert notice.deadline_in_s == gcp.NOTICE_S


def test_a_preemption_whose_begin_was_not_seen_has_the_least_time_left(
    server: GceMetadata, source: gcp.PreemptionNotices
) -> None:
    """The agent was started again in the middle of it, or the server was away when it began."""
    server.values.update({gcp.NOTICE_ATTRIBUTE: "120", gcp.PREEMPTED: "TRUE"})
    (notice,) = source.poll()
    assert notice.deadline_in_s == gcp.NOTICE_S
    server.set(gcp.PREEMPTED, "FALSE")
    assert source.poll() == (), "it was withdrawn"
    server.status = 503
    with pytest.raises(NoticeUnknown):
        source.poll()
    server.status = 200
    server.set(gcp.PREEMPTED, "TRUE")
    (notice,) = source.poll()
    assert notice.deadline_in_s == gcp.NOTICE_S


def test_a_reading_that_nothing_ends_is_no_notice(server: GceMetadata) -> None:
    with serving(server) as url:
        source = gcp.PreemptionNotices(url, hang_s=1.0)
        assert source.poll() == source.poll() == ()
    assert [asked.query.get("timeout_sec") for asked in server.asked if asked.path == gcp.PREEMPTED] == [
        None,
        "1",
    ]


def test_maintenance_that_ends_the_machine_is_advice(
    server: GceMetadata, source: gcp.PreemptionNotices
) -> None:
    server.values[gcp.MAINTENANCE] = "MIGRATE_ON_HOST_MAINTENANCE"
    assert source.poll() == ()
    server.values[gcp.MAINTENANCE] = "TERMINATE_ON_HOST_MAINTENANCE"
    server.set(gcp.PREEMPTED, "FALSE ")
    (notice,) = source.poll()
    assert (notice.kind, notice.deadline_in_s) == ("rebalance", None)


def test_an_advice_that_can_not_be_read_does_not_hide_the_end(
    server: GceMetadata, source: gcp.PreemptionNotices
) -> None:
    source.poll()
    server.set(gcp.PREEMPTED, "TRUE")
    del server.values[gcp.MAINTENANCE]
    (notice,) = source.poll()
    assert notice.kind == "terminate"


@pytest.mark.parametrize("status", [302, 403, 500, 503])
def test_any_other_answer_is_unknown(server: GceMetadata, source: gcp.PreemptionNotices, status: int) -> None:
    server.status = status
    with pytest.raises(NoticeUnknown, match=str(status)):
        source.poll()


def test_a_value_of_another_kind_is_unknown(server: GceMetadata, source: gcp.PreemptionNotices) -> None:
    server.values[gcp.PREEMPTED] = "<html>sign in</html>"
    with pytest.raises(NoticeUnknown, match="sign in"):
        source.poll()


def test_a_server_that_does_not_know_the_path_is_unknown(
    server: GceMetadata, source: gcp.PreemptionNotices
) -> None:
    del server.values[gcp.PREEMPTED]
    with pytest.raises(NoticeUnknown, match="preempted"):
        source.poll()
