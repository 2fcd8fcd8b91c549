"""The AWS-shaped metadata service over a real socket: what counts as a notice, and what as unknown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.agent.node.metadata import Metadata

from outlast.node.notices import aws, azure, gcp
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


def test_an_advice_that_can_not_be_read_does_not_hide_the_end(metadata: Metadata) -> None:
    metadata.notice_in(120.0)
    metadata.broken = {aws.REBALANCE_PATH}
    (notice,) = aws.MetadataNotices(metadata.url).poll()
    assert notice.kind == "terminate"


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


@pytest.mark.parametrize(
    ("says", "made"),
    [
        ({}, NoNotices),
        ({"sys_vendor": "QEMU"}, NoNotices),
        ({"sys_vendor": "Amazon EC2"}, aws.MetadataNotices),
        ({"sys_vendor": "Google", "product_name": "Google Compute Engine"}, gcp.PreemptionNotices),
        ({"sys_vendor": "Google", "product_name": "A laptop"}, NoNotices),
        (
            {"sys_vendor": "Microsoft Corporation", "chassis_asset_tag": azure.ASSET_TAG},
            azure.ScheduledEvents,
        ),
        ({"sys_vendor": "Microsoft", "product_name": "Virtual Machine"}, NoNotices),
    ],
)
def test_the_machine_is_known_by_its_firmware(tmp_path: Path, says: dict[str, str], made: type) -> None:
    for name, text in says.items():
        (tmp_path / name).write_text(text + "\n")
    assert type(detect({}, folder=tmp_path)) is made


@pytest.mark.parametrize(
    ("cloud", "made"),
    [
        ("aws", aws.MetadataNotices),
        ("gcp", gcp.PreemptionNotices),
        ("azure", azure.ScheduledEvents),
        ("local", NoNotices),
        ("", NoNotices),
    ],
)
def test_who_started_it_knows_where_it_is(tmp_path: Path, cloud: str, made: type) -> None:
    """Small virtual machines have no such firmware."""
    assert type(detect({}, cloud, tmp_path)) is made


@pytest.mark.parametrize(
    ("variable", "value", "made"),
    [
        (aws.ENDPOINT_VARIABLE, "http://127.0.0.1:1", aws.MetadataNotices),
        (gcp.HOST_VARIABLE, "127.0.0.1:1", gcp.PreemptionNotices),
        (azure.ENDPOINT_VARIABLE, "http://127.0.0.1:1", azure.ScheduledEvents),
    ],
)
def test_the_variables_of_the_clouds_own_libraries_count(
    tmp_path: Path, variable: str, value: str, made: type
) -> None:
    source = detect({variable: value}, folder=tmp_path)
    assert type(source) is made
    with pytest.raises(NoticeUnknown, match="can't be reached"):
        source.poll()


def test_no_proxy_is_asked(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert aws.MetadataNotices(metadata.url).poll() == ()
