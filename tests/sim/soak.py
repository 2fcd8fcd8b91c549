"""A long sweep over many processes, with a line that lives and a summary that can be stopped at any time."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator

from tests.sim.sweep import Sums, sweep

CHUNK = 20  # seeds that one worker takes at a time
EVERY_S = 10.0  # between two lines of progress


def soak(seeds: range, size: str, workers: int, say: Callable[[str], None]) -> int:
    """Ctrl-C ends it with what was learnt; it can be taken up again where the last line stood."""
    sums, begun_s = Sums(), time.monotonic()
    said_s, done = begun_s, 0
    chunks = [seeds[first : first + CHUNK] for first in range(0, len(seeds), CHUNK)]
    try:
        for one in _results([(chunk, size) for chunk in chunks], workers):
            sums.join(one)
            done += one.seeds
            for line in one.broken:
                say(line)
            now_s = time.monotonic()
            if now_s - said_s >= EVERY_S:
                said_s = now_s
                say(_progress(seeds, done, sums, now_s - begun_s))
    except KeyboardInterrupt:
        say(f"stopped: go on with --seed {seeds.start + done} --count {len(seeds) - done}")
    say(sums.text())
    say(f"broken: {len(sums.broken)}")
    return 1 if sums.broken or done < len(seeds) else 0


def _results(work: list[tuple[range, str]], workers: int) -> Iterator[Sums]:
    """In order, so that all seeds before a line of progress are done."""
    if workers <= 1:
        yield from map(_chunk, work)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(_chunk, work)


def _chunk(work: tuple[range, str]) -> Sums:
    return sweep(work[0], work[1])


def _progress(seeds: range, done: int, sums: Sums, spent_s: float) -> str:
    left_s = spent_s / max(done, 1) * (len(seeds) - done)
    faults = sums.faults / max(sums.seeds, 1)
    return (
        f"{done} of {len(seeds)} seeds ({seeds.start} to {seeds.start + done - 1}), "
        f"{len(sums.broken)} broken, {faults:.1f} faults a seed, {spent_s:.0f} s, about {left_s:.0f} s to go"
    )
