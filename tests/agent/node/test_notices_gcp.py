"""Preemption on Compute Engine, over a real socket: nothing is missed between two readings or invented."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.servers.http_service import Asked, Said, serving

from outlast.node.notices import gcp
from outlast.node_ports import NoticeUnknown

HANG_S = 3.0


class Server:
    """The paths that we ask. A reading that waits gets its answer when the value changes, or in the end."""

    clock_off_s = 0.0

    def __init__(self) -> None:
        self.values = {gcp.PREEMPTED: "FALSE", gcp.MAINTENANCE: "NONE"}
        self.status = 200
        self.asked: list[Asked] = []
        self.waiting = threading.Event()
        self._changed = threading.Condition()

    def answer(self, asked: Asked) -> Said:
        self.asked.append(asked)
        if asked.headers.get("metadata-flavor") != "Google":
            return Said(403)
        if self.status != 200:
            return Said(self.status, b"busy")
        if asked.query.get("wait_for_change") == "true":
            self._wait(asked)
        value = self.values.get(asked.path)
        return Said(404) if value is None else Said(200, value.encode(), {"ETag": self._etag(asked.path)})

    def set(self, path: str, value: str) -> None:
        with self._changed:
            self.values[path] = value
            self._changed.notify_all()

    def _wait(self, asked: Asked) -> None:
        with self._changed:
            self.waiting.set()
            self._changed.wait_for(
                lambda: self._etag(asked.path) != asked.query["last_etag"], float(asked.query["timeout_sec"])
            )

    def _etag(self, path: str) -> str:
        return f"{abs(hash(self.values.get(path))):x}"


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def source(server: Server) -> Iterator[gcp.PreemptionNotices]:
    with serving(server) as url:
        yield gcp.PreemptionNotices(url, hang_s=HANG_S)


def test_no_preemption_is_no_notice(server: Server, source: gcp.PreemptionNotices) -> None:
    assert source.poll() == ()
    assert "wait_for_change" not in server.asked[1].query, "the first reading must not wait"


def test_a_preemption_is_told_while_a_reading_waits(server: Server, source: gcp.PreemptionNotices) -> None:
    server.values[gcp.NOTICE_ATTRIBUTE] = "120"
    assert source.poll() == ()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(source.poll)
        assert server.waiting.wait(10)
        server.set(gcp.PREEMPTED, "TRUE")
        (notice,) = reading.result()
    assert (notice.kind, notice.deadline_in_s) == ("terminate", 120.0)


def test_a_preemption_between_two_readings_is_not_missed(
    server: Server, source: gcp.PreemptionNotices
) -> None:
    server.values[gcp.NOTICE_ATTRIBUTE] = "120"
    source.poll()
    server.set(gcp.PREEMPTED, "TRUE")
    (notice,) = source.poll()
    assert notice.deadline_in_s == 120.0
    assert source.poll() == (notice,), "it stands, and is read at once"


def test_a_notice_that_nobody_asked_for_leaves_thirty_seconds(
    server: Server, source: gcp.PreemptionNotices
) -> None:
    source.poll()
    server.set(gcp.PREEMPTED, "TRUE")
    (notice,) = source.poll()
    assert notice.deadline_in_s == gcp.NOTICE_S


def test_a_preemption_whose_begin_was_not_seen_has_the_least_time_left(
    server: Server, source: gcp.PreemptionNotices
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


def test_a_reading_that_nothing_ends_is_no_notice(server: Server) -> None:
    with serving(server) as url:
        source = gcp.PreemptionNotices(url, hang_s=1.0)
        assert source.poll() == source.poll() == ()
    assert [asked.query.get("timeout_sec") for asked in server.asked if asked.path == gcp.PREEMPTED] == [
        None,
        "1",
    ]


def test_maintenance_that_ends_the_machine_is_advice(server: Server, source: gcp.PreemptionNotices) -> None:
    server.values[gcp.MAINTENANCE] = "MIGRATE_ON_HOST_MAINTENANCE"
    assert source.poll() == ()
    server.values[gcp.MAINTENANCE] = "TERMINATE_ON_HOST_MAINTENANCE"
    server.set(gcp.PREEMPTED, "FALSE ")
    (notice,) = source.poll()
    assert (notice.kind, notice.deadline_in_s) == ("rebalance", None)


def test_an_advice_that_can_not_be_read_does_not_hide_the_end(
    server: Server, source: gcp.PreemptionNotices
) -> None:
    source.poll()
    server.set(gcp.PREEMPTED, "TRUE")
    del server.values[gcp.MAINTENANCE]
    (notice,) = source.poll()
    assert notice.kind == "terminate"


@pytest.mark.parametrize("status", [302, 403, 500, 503])
def test_any_other_answer_is_unknown(server: Server, source: gcp.PreemptionNotices, status: int) -> None:
    server.status = status
    with pytest.raises(NoticeUnknown, match=str(status)):
        source.poll()


def test_a_value_of_another_kind_is_unknown(server: Server, source: gcp.PreemptionNotices) -> None:
    server.values[gcp.PREEMPTED] = "<html>sign in</html>"
    with pytest.raises(NoticeUnknown, match="sign in"):
        source.poll()


def test_a_server_that_does_not_know_the_path_is_unknown(
    server: Server, source: gcp.PreemptionNotices
) -> None:
    del server.values[gcp.PREEMPTED]
    with pytest.raises(NoticeUnknown, match="preempted"):
        source.poll()
