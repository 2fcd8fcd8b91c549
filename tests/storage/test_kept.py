"""One client serves all jobs of a storage, for a while."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes.bucket import MemoryBucket
from tests.fakes.hand_clock import HandClock

from outlast.ports import Bucket
from outlast_orchestrator.storage.kept import KEEP_S, KeptBuckets


class Opener:
    def __init__(self) -> None:
        self.opened: list[str] = []
        self.bucket = MemoryBucket()

    def __call__(self, url: str) -> Bucket:
        self.opened.append(url)
        if "bad" in url:
            raise ValueError("no bucket")
        return self.bucket


@pytest.fixture
def opener() -> Opener:
    return Opener()


def test_all_jobs_of_a_storage_share_one_client_and_see_only_their_own(opener: Opener) -> None:
    buckets = KeptBuckets(HandClock(), opener)
    buckets("s3://one", "jobs/a").put("latest.json", b"a")
    buckets("s3://one", "jobs/b").put("latest.json", b"b")
    buckets("s3://two", "jobs/b")
    assert opener.opened == ["s3://one", "s3://two"]
    assert buckets("s3://one", "jobs/a").get("latest.json").body == b"a"
    assert [info.key for info in buckets("s3://one").list("")] == ["jobs/a/latest.json", "jobs/b/latest.json"]


def test_it_is_made_anew_in_time_so_that_new_credentials_are_seen(opener: Opener) -> None:
    clock = HandClock()
    buckets = KeptBuckets(clock, opener)
    buckets("s3://one", "a")
    clock.forward(KEEP_S - 1)
    buckets("s3://one", "a")
    assert opener.opened == ["s3://one"]
    clock.forward(2)
    buckets("s3://one", "a")
    assert opener.opened == ["s3://one"] * 2


def test_what_can_not_be_opened_is_told_each_time_and_a_prefix_stays_inside(opener: Opener) -> None:
    buckets = KeptBuckets(HandClock(), opener)
    for _ in range(2):
        with pytest.raises(ValueError, match="no bucket"):
            buckets("s3://bad")
    with pytest.raises(ValueError, match=r"\.\."):
        buckets("s3://one", "../other")
    assert opener.opened == ["s3://bad", "s3://bad", "s3://one"]


def test_a_real_storage_is_seen_below_its_own_prefix(tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    KeptBuckets(HandClock())(f"file://{tmp_path}/team", "jobs/a").put("x", b"1")
    assert (tmp_path / "team" / "jobs" / "a" / "x").read_bytes() == b"1"
