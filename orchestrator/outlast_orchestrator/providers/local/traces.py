"""Reads recorded spot markets from files, as a market that can be run again.

Three kinds of file are known by their first line. In all of them **1 (or more) means available**:
`date,availability` and `tick,available` hold 0 or 1; `scheduled_at,…,status,<zone>…` holds how many of the
machines that were asked for could be had in each zone.
"""

from __future__ import annotations

import csv
import itertools
from datetime import datetime, timezone
from pathlib import Path

from outlast_orchestrator.providers.local.config import CloudConfig
from outlast_orchestrator.providers.local.market import Market, Pool, Steps, seeded_prices

TICK_S = 600.0  # of files that count ticks instead of giving times
ROWS_MAX = 1_000_000
COUNTS_HEAD = ["scheduled_at", "duration_sec", "status"]


class TraceError(ValueError):
    """A trace that can't be used; the message names file and reason."""


def series(path: Path) -> dict[str, Steps]:
    """The availability in a file, by the zone that it names ("" where it names none). Raises TraceError."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for _, row in zip(range(ROWS_MAX), csv.reader(file), strict=False) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"{path}: can't be read as CSV: {error}") from error
    if len(rows) < 2:
        raise TraceError(f"{path}: has no rows")
    head, body = rows[0], rows[1:]
    try:
        if head == ["date", "availability"]:
            return {"": _steps([_at(row[0]) for row in body], [float(row[1]) for row in body])}
        if head == ["tick", "available"]:
            return {"": _steps([int(row[0]) * TICK_S for row in body], [float(row[1]) for row in body])}
        if head[:3] == COUNTS_HEAD:
            times = [_at(row[0]) for row in body]
            return {
                zone: _steps(times, [float(row[column]) for row in body])
                for column, zone in enumerate(head)
                if column >= len(COUNTS_HEAD)
            }
    except (ValueError, IndexError) as error:
        raise TraceError(f"{path}: a row does not fit the first line: {error}") from error
    raise TraceError(f"{path}: the first line {','.join(head)!r} is none of the known kinds")


def traced(config: CloudConfig) -> Market:
    """A market whose zones follow the files of a folder; a 1 stands for all machines of a pool."""
    by_zone = _assign(config)

    def capacity(pool: Pool) -> Steps:
        steps = by_zone[pool[0]]
        kind = config.type_named(pool[1])
        full = kind.capacity if kind is not None else 0
        if max(steps.values) > 1:
            return steps
        return Steps(steps.at_s, tuple(value * full for value in steps.values), steps.span_s)

    return Market(capacity, lambda pool: seeded_prices(config.market.seed, pool))


def _assign(config: CloudConfig) -> dict[str, Steps]:
    folder = Path(config.market.folder)
    if config.market.files:
        missing = set(config.all_zones) - set(config.market.files)
        if missing:
            raise TraceError(f"no trace file is named for zone {', '.join(sorted(missing))}")
        return {zone: _of(folder / name, zone) for zone, name in config.market.files.items()}
    found = [steps for path in sorted(folder.glob("*.csv")) for steps in series(path).values()]
    if not found:
        raise TraceError(f"{folder}: holds no CSV file")
    return {zone: found[number % len(found)] for number, zone in enumerate(config.all_zones)}


def _of(path: Path, zone: str) -> Steps:
    found = series(path)
    return found.get(zone) or next(iter(found.values()))


def _steps(times: list[float], values: list[float]) -> Steps:
    start = times[0]
    if any(later <= earlier for earlier, later in itertools.pairwise(times)):
        raise ValueError("the times do not rise")
    at_s = tuple(time - start for time in times)
    tick = at_s[-1] - at_s[-2] if len(at_s) > 1 else TICK_S
    return Steps(at_s, tuple(values), at_s[-1] + tick)


def _at(text: str) -> float:
    """Seconds of a time stamp; one without a zone is taken as UTC, since only differences count."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
