"""The recovery bench in small: every interruption is answered once, and in the right order; no times."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.bench.interrupt import interrupt_all, start_rig
from tests.bench.phases import KINDS, LET_GO, NOTICE, Event, Recovery, recoveries
from tests.e2e.stage import Stage

OF_EACH = 2
SILENT_AFTER_S = 4.5  # the product waits for four reports, which would take this test too long
OF_THE_AGENT = ("restore.started", "trainer.started", "trainer.stepped")


def _seq(events: Sequence[Event], generation: int, *kinds: str) -> int:
    """The place in the log of the one event of these kinds."""
    found = [e["seq"] for e in events if e["kind"] in kinds and e["attempt"] == generation]
    assert len(found) == 1, f"{kinds} of generation {generation}: {len(found)} times"
    return int(found[0])


@pytest.mark.slow
def test_each_interruption_is_answered_once_and_in_order(tmp_path: Path) -> None:
    """One job for each kind, side by side on one cloud."""
    stage = Stage(tmp_path)
    (stage.home / "controller.yaml").write_text(f"limits: {{silent_after_s: {SILENT_AFTER_S}}}\n")
    try:
        stage.start()
        rigs = {kind: start_rig(stage, kind, seed=1, say=lambda text: None) for kind in KINDS}
        with ThreadPoolExecutor(len(KINDS)) as pool:
            ran = [pool.submit(interrupt_all, rigs[kind], OF_EACH, (kind,)) for kind in KINDS]
            results = [one.result() for one in ran]
    finally:
        stage.close()
    for kind, (done, events) in zip(KINDS, results, strict=True):
        assert [one.kind for one in done] == [kind] * OF_EACH
        for one in recoveries(events, done):
            _in_order(one, events)
        for told in ("launch.intended", "trainer.started"):
            assert [e["attempt"] for e in events if e["kind"] == told] == [1, 2, 3]
        noticed = [e["attempt"] for e in events if e["kind"] == "notice.seen"]
        assert noticed == ([1, 2] if kind == NOTICE else [])


def _in_order(one: Recovery, events: Sequence[Event]) -> None:
    before, after, kind = one.interruption.generation, one.after, one.interruption.kind
    assert (after, one.attempts) == (before + 1, 1)
    planned, launched = _seq(events, after, "attempt.planned"), _seq(events, after, "launch.intended")
    assert planned < launched
    if kind == NOTICE:
        let_go = _seq(events, before, *LET_GO)
        assert launched < let_go, "the replacement was not asked for while the old node saved"
        assert one.launched_in_time
    else:
        closed = _seq(events, before, "attempt.closed")
        assert closed < launched, "a replacement was asked for before anybody knew that the old one is dead"
    first = [_seq(events, after, told) for told in OF_THE_AGENT]
    assert [launched, *first] == sorted([launched, *first])
