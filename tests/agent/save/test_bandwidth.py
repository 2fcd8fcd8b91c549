"""The bandwidth that an upload may take, on a clock that only moves when somebody sleeps."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.agent.save.copies import stable
from tests.agent.save.fake_bucket import MemoryBucket
from tests.fakes.still import StillRuntime

from outlast.ports import UploadCancelled
from outlast.save.bandwidth import BURST_S, Bandwidth, paid_at_s
from outlast.save.upload import Limits, upload

MBPS = 8.0  # a million bytes a second
PART = 500_000


def never() -> bool:
    return False


def test_time_that_was_not_used_is_kept_for_a_moment_only() -> None:
    assert paid_at_s(10.0, 10.0, 1000, 1000.0) == 11.0
    assert paid_at_s(10.0, 500.0, 1000, 1000.0) == 500.0 - BURST_S + 1.0


def test_what_is_sent_takes_the_time_that_it_may() -> None:
    runtime = StillRuntime()
    bandwidth, begun_s = Bandwidth(runtime, MBPS), runtime.monotonic_s()
    for _ in range(40):
        bandwidth.wait(PART, never)
    assert runtime.monotonic_s() - begun_s == pytest.approx(40 * PART / 1e6 - BURST_S, abs=PART / 1e6)


def test_an_upload_with_a_limit_takes_that_long_and_in_a_hurry_no_time(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(4_000_000))
    copy, runtime = stable(tmp_path), StillRuntime()

    def took_s(limits: Limits) -> float:
        begun_s = runtime.monotonic_s()
        upload(MemoryBucket(PART), runtime, copy, "n", None, lambda done, total: None, limits=limits)
        return runtime.monotonic_s() - begun_s

    assert took_s(Limits()) == 0.0
    assert 2.0 <= took_s(Limits(bandwidth=Bandwidth(runtime, MBPS))) <= 4.0
    assert took_s(Limits(bandwidth=Bandwidth(runtime, MBPS), hurry=lambda: True)) == 0.0


def test_who_waits_hears_that_it_is_called_off(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(4_000_000))
    runtime = StillRuntime()
    limits = Limits(lambda: runtime.monotonic_s() > 1_003.0, Bandwidth(runtime, 0.1))
    with pytest.raises(UploadCancelled):
        upload(
            MemoryBucket(PART), runtime, stable(tmp_path), "n", None, lambda done, total: None, limits=limits
        )
    assert runtime.monotonic_s() < 1_005.0
