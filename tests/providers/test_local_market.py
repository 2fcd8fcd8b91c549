"""The local spot market: the same for the same seed, like the published statistics, and read from traces."""

from __future__ import annotations

import hashlib
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.providers.local_kit import (
    QUICK,
    ended,
    launched,
    local_cloud,
    processes_of,
    provider_of,
    request_of,
    wait_until,
)

from outlast_orchestrator.core.errors import Capacity, UserError
from outlast_orchestrator.core.types import Want
from outlast_orchestrator.providers.local.config import CloudConfig, MarketConfig
from outlast_orchestrator.providers.local.control import start_cloud
from outlast_orchestrator.providers.local.driver import interruption
from outlast_orchestrator.providers.local.market import (
    HOUR_S,
    PROFILES,
    SPAN_S,
    Profile,
    Steps,
    calm,
    seeded,
    seeded_capacity,
)
from outlast_orchestrator.providers.local.traces import TraceError, series, traced

SEEDED = CloudConfig(market=MarketConfig("seed", seed=7))
POOL = ("here-a", "cpu-1")


def fingerprint(config: CloudConfig) -> list[tuple[int, float]]:
    market = seeded(config)
    return [
        (market.capacity((zone, "cpu-2"), hour * HOUR_S), market.price_ratio((zone, "cpu-2"), hour * HOUR_S))
        for zone in config.all_zones
        for hour in range(0, 1400, 3)
    ]


def test_a_seed_is_a_market() -> None:
    assert fingerprint(SEEDED) == fingerprint(SEEDED)
    assert fingerprint(SEEDED) != fingerprint(replace(SEEDED, market=MarketConfig("seed", seed=8)))


def digest(config: CloudConfig) -> str:
    return hashlib.sha256(repr(fingerprint(config)).encode()).hexdigest()


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_a_seed_is_the_same_market_in_every_process(hash_seed: str) -> None:
    code = f"import sys; from {__name__} import *; sys.stdout.write(digest(SEEDED))"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": hash_seed, "PATH": ""},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert ran.stdout == digest(SEEDED)


def runs_h(steps: Steps, full: bool) -> list[float]:
    ends = [*steps.at_s[1:], steps.span_s]
    return [
        (end - start) / HOUR_S
        for start, end, value in zip(steps.at_s, ends, steps.values, strict=True)
        if bool(value) is full
    ]


@pytest.mark.parametrize("profile", PROFILES)
def test_lifetimes_are_like_the_published_ones(profile: Profile) -> None:
    lives = [life for seed in range(10) for life in runs_h(seeded_capacity(seed, POOL, profile, 8), True)]
    outages = [out for seed in range(10) for out in runs_h(seeded_capacity(seed, POOL, profile, 8), False)]
    assert statistics.median(lives) == pytest.approx(profile.up_median_h, rel=0.25)
    assert statistics.quantiles(lives, n=10)[-1] == pytest.approx(profile.up_p90_h, rel=0.35)
    assert statistics.median(outages) == pytest.approx(profile.out_median_h, rel=0.25)


def test_young_machines_die_more_often_than_old_ones() -> None:
    lives = [life for seed in range(10) for life in runs_h(seeded_capacity(seed, POOL, PROFILES[0], 8), True)]

    def dies_within_an_hour(age_h: float) -> float:
        old = [life for life in lives if life >= age_h]
        return sum(life < age_h + 1 for life in old) / len(old)

    assert dies_within_an_hour(0.0) > 2 * dies_within_an_hour(4.0)


def test_prices_stay_below_on_demand_and_move() -> None:
    market = calm(SEEDED)
    ratios = {market.price_ratio(POOL, hour * HOUR_S) for hour in range(1000)}
    assert len(ratios) > 100
    assert min(ratios) > 0
    assert max(ratios) < 1


def test_a_calm_market_interrupts_nobody() -> None:
    assert calm(SEEDED).falls_below(POOL, 0.0, SPAN_S, 8) is None


def test_steps_begin_anew_and_find_their_first_fall() -> None:
    steps = Steps((0.0, 10.0, 20.0), (2, 0, 1), 30.0)
    assert [steps.at(t) for t in (0, 9.9, 10, 25, 30, 41)] == [2, 2, 0, 1, 2, 0]
    assert steps.first_below(0, 100, 2) == 10.0
    assert steps.first_below(21, 100, 1) == 40.0
    assert steps.first_below(0, 9, 2) is None
    assert steps.first_below(15, 20, 1) == 15


def test_notices_come_on_time_late_or_never_in_the_given_shares() -> None:
    config = replace(
        CloudConfig(notice_s=100.0), market=MarketConfig("seed", late_share=0.3, missing_share=0.2)
    )
    fates = [interruption(config, POOL, 50.0, number, 1000.0) for number in range(2000)]
    leads = [fate.dies_at - fate.notice_at for fate in fates if fate.notice_at is not None]
    assert 0.17 < 1 - len(leads) / 2000 < 0.23
    assert 0.26 < sum(lead < 100.0 for lead in leads) / 2000 < 0.34
    assert max(leads) == 100.0
    assert fates == [interruption(config, POOL, 50.0, number, 1000.0) for number in range(2000)]


def write_trace(path: Path, head: str, *rows: str) -> Path:
    path.write_text("\n".join((head, *rows)) + "\n")
    return path


def test_traces_of_every_kind_are_read_with_1_as_available(tmp_path: Path) -> None:
    dated = write_trace(
        tmp_path / "dated.csv",
        "date,availability",
        "2023-02-15 22:00:00,1",
        "2023-02-15 22:03:15,0",
        "2023-02-15 22:06:30,1",
    )
    assert series(dated)[""] == Steps((0.0, 195.0, 390.0), (1, 0, 1), 585.0)
    ticks = write_trace(tmp_path / "ticks.csv", "tick,available", "3,1", "4,0")
    assert series(ticks)[""] == Steps((0.0, 600.0), (1, 0), 1200.0)
    counts = write_trace(
        tmp_path / "counts.csv",
        "scheduled_at,duration_sec,status,zone-1,zone-2",
        "2025-10-03T17:10:00-07:00,80.1,success,16,0",
        "2025-10-03T17:20:00-07:00,81.0,success,9,4",
    )
    assert series(counts) == {
        "zone-1": Steps((0.0, 600.0), (16, 9), 1200.0),
        "zone-2": Steps((0.0, 600.0), (0, 4), 1200.0),
    }


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "has no rows"),
        (b"date,availability\n", "has no rows"),
        (b"date,unavailable\n1,2\n", "none of the known kinds"),
        (b"tick,available\nx,1\n", "does not fit"),
        (b"tick,available\n3\n", "does not fit"),
        (b"tick,available\n4,1\n3,1\n", "do not rise"),
        (b"\xff\xfe\x00\x01\n\x80\x81\n", "can't be read"),
    ],
)
def test_a_bad_trace_is_refused_by_name(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(TraceError, match=complaint) as error:
        series(path)
    assert "bad.csv" in str(error.value)


def generated_folder(folder: Path, up_s: float) -> Path:
    """One zone up for some time, then out for long; the others always up."""
    folder.mkdir()
    write_trace(folder / "a.csv", "tick,available", "0,1", *(f"{1 + n},0" for n in range(100)))
    for name in ("b", "c"):
        write_trace(folder / f"{name}.csv", "tick,available", *(f"{n},1" for n in range(100)))
    assert up_s == 600.0
    return folder


def test_a_trace_drives_capacity_and_interruptions(tmp_path: Path) -> None:
    folder = generated_folder(tmp_path / "traces", up_s=600.0)
    market = MarketConfig("trace", folder=str(folder), speed=120.0, missing_share=0.0, late_share=0.0)
    with local_cloud(tmp_path, replace(QUICK, market=market)) as control:
        instance = launched(control)  # the first offer is of here-a: up for five seconds at this speed
        assert control.instance(instance)["zone"] == "here-a"
        control.wait_for("the notice", lambda seen: seen[0]["interrupting"])
        assert ended(control, instance)["end_code"] == "Server.SpotInstanceTermination"
        provider = provider_of(control)
        offers = provider.offers(Want())
        with pytest.raises(Capacity):
            provider.launch(request_of(offers[0], "launch-2"))
        other = next(offer for offer in offers if offer.zone == "here-b")
        provider.launch(request_of(other, "launch-3"))


def test_a_trace_that_does_not_cover_a_zone_is_refused(tmp_path: Path) -> None:
    folder = generated_folder(tmp_path / "traces", up_s=600.0)
    market = MarketConfig("trace", folder=str(folder), files={"here-a": "a.csv"})
    with pytest.raises(TraceError, match="here-b, here-c"):
        traced(CloudConfig(market=market))


def test_a_cloud_that_can_not_start_says_why_in_one_line(tmp_path: Path) -> None:
    market = MarketConfig("trace", folder=str(tmp_path / "nothing"))
    with pytest.raises(UserError, match=r"can't start from .*holds no CSV file") as error:
        start_cloud(tmp_path / "cloud", CloudConfig(market=market))
    assert "\n" not in str(error.value)
    wait_until("it is gone", lambda: processes_of(tmp_path) == {})


def test_a_state_that_is_garbage_or_a_file_is_told_in_one_line(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage"
    garbage.mkdir()
    (garbage / "cloud.db").write_bytes(b"this is no database, and long enough to be looked at" * 100)
    with pytest.raises(UserError, match=r"can't start from .*garbage: file is not a database$"):
        start_cloud(garbage)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"can't start: .*file can't be written: File exists$"):
        start_cloud(tmp_path / "file")
    wait_until("they are gone", lambda: processes_of(tmp_path) == {})


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"kind": "wild"}, "none of calm, seed, trace"),
        ({"speed": 0.0}, "speed"),
        ({"kind": "trace"}, "folder"),
    ],
)
def test_a_market_that_makes_no_sense_is_refused(fields: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        MarketConfig(**fields)  # type: ignore[arg-type]
