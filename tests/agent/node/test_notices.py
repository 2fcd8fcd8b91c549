"""The AWS-shaped metadata service over a real socket: what counts as a notice, and what as unknown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.agent.node.metadata import Metadata

from outlast.node.notices import aws
from outlast.node.notices.detect import NoNotices, detect
from outlast.node_ports import NoticeUnknown


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    metadata = Metadata()
    yield metadata
    metadata.close()


def test_404_is_no_notice(metadata: Metadata) -> None:
    assert aws.MetadataNotices(metadata.url).poll() == ()


@pytest.mark.parametrize("clock_off_s", [0.0, 3600.0, -3600.0])
def test_the_time_left_is_measured_on_the_services_own_clock(metadata: Metadata, clock_off_s: float) -> None:
    metadata.clock_off_s = clock_off_s
    metadata.notice_in(120.0)
    (notice,) = aws.MetadataNotices(metadata.url).poll()
    assert notice.kind == "terminate"
    assert notice.deadline_in_s is not None
    assert 100.0 < notice.deadline_in_s <= 121.0


def test_a_notice_that_vanishes_is_withdrawn(metadata: Metadata) -> None:
    source = aws.MetadataNotices(metadata.url)
    metadata.notice_in(120.0)
    assert len(source.poll()) == 1
    metadata.answers.clear()
    assert source.poll() == ()


def test_an_expired_token_is_fetched_anew(metadata: Metadata) -> None:
    source = aws.MetadataNotices(metadata.url)
    source.poll()
    metadata.tokens.clear()
    assert source.poll() == ()
    assert metadata.issued == 2


def test_a_rebalance_recommendation_is_advice_without_a_deadline(metadata: Metadata) -> None:
    metadata.answers[aws.REBALANCE_PATH] = {"noticeTime": "2026-01-31T12:00:00Z"}
    (notice,) = aws.MetadataNotices(metadata.url).poll()
    assert (notice.kind, notice.deadline_in_s) == ("rebalance", None)


def test_a_time_that_can_not_be_read_is_an_unknown_deadline(metadata: Metadata) -> None:
    metadata.answers[aws.ACTION_PATH] = {"action": "terminate", "time": "soon"}
    (notice,) = aws.MetadataNotices(metadata.url).poll()
    assert (notice.kind, notice.deadline_in_s) == ("terminate", None)


@pytest.mark.parametrize("status", [302, 403, 500, 503])
def test_any_other_answer_is_unknown_and_never_no_notice(metadata: Metadata, status: int) -> None:
    metadata.status = status
    with pytest.raises(NoticeUnknown, match=str(status)):
        aws.MetadataNotices(metadata.url).poll()


def test_a_service_that_is_not_there_is_unknown() -> None:
    with pytest.raises(NoticeUnknown, match="can't be reached"):
        aws.MetadataNotices("http://127.0.0.1:1").poll()


def test_the_machine_is_known_by_its_firmware(tmp_path: Path) -> None:
    vendor = tmp_path / "sys_vendor"
    assert isinstance(detect({}, vendor), NoNotices)
    vendor.write_text("Amazon EC2\n")
    assert isinstance(detect({}, vendor), aws.MetadataNotices)
    vendor.write_text("QEMU\n")
    assert isinstance(detect({}, vendor), NoNotices)
    assert isinstance(detect({aws.ENDPOINT_VARIABLE: "http://127.0.0.1:1"}, vendor), aws.MetadataNotices)
