"""State against disk, a full save against the notice: told once, in words, and when it is over."""

from __future__ import annotations

from dataclasses import replace

from tests.core.build import after, decided, events, heard, machine, running

from outlast.protocol.messages import AgentState, SaveStatus
from outlast_orchestrator.core.events import Kind
from outlast_orchestrator.core.fit import DISK, FREE, GIB, NOTICE, Load, misfits, words
from outlast_orchestrator.core.view import JobView

KNOWN = Load("here", 120.0, 10 * GIB, save_s=20.0, upload_s=60.0, disk_gb=100, disk_free=50 * GIB)


def _kinds(load: Load, *standing: str) -> list[str]:
    return [one.kind for one in misfits(load, standing)]


def test_what_fits_is_told_with_its_figures() -> None:
    assert _kinds(KNOWN) == []
    assert words(KNOWN) == ["a checkpoint has 10.0 GiB, a full save takes 80 s, here gives 120 s of notice"]


def test_a_save_that_takes_longer_than_the_notice() -> None:
    slow = replace(KNOWN, upload_s=120.0)
    assert _kinds(slow) == [NOTICE]
    told = "a full save takes 140 s (the save 20 s, its upload 120 s), here gives 120 s"
    assert words(slow)[0].startswith(told)
    assert _kinds(replace(KNOWN, notice_s=0.0)) == [NOTICE]  # a cloud that gives none
    assert _kinds(replace(slow, notice_s=None)) == []


def test_a_disk_that_holds_too_few() -> None:
    small = replace(KNOWN, disk_gb=21)
    assert _kinds(small) == [DISK]
    assert "set resources.disk_gb to 27" in words(small)[0]
    assert _kinds(replace(KNOWN, disk_free=9 * GIB)) == [FREE]


def test_nothing_is_guessed_before_the_first_save() -> None:
    assert _kinds(Load("here", 120.0, disk_gb=1)) == []
    assert words(Load("here", 30.0)) == [
        "what a checkpoint takes is not known before the first one; here gives 30 s of notice"
    ]


def test_a_misfit_that_was_told_ends_only_clearly_below_its_limit() -> None:
    near = replace(KNOWN, upload_s=95.0)  # 115 of 120 s
    assert _kinds(near) == []
    assert _kinds(near, NOTICE) == [NOTICE]
    assert _kinds(KNOWN, NOTICE) == []


def _trains(save: SaveStatus, before: JobView | None = None) -> JobView:
    found = running() if before is None else before
    limits = replace(found.limits, notice_s=120.0)
    return replace(
        found, limits=limits, instances=(machine("m1", heard("m1", 1, AgentState.RUNNING, save=save)),)
    )


def test_an_event_when_it_appears_and_one_when_it_ends() -> None:
    slow = _trains(SaveStatus(state_bytes=GIB, save_s=20.0, upload_s=120.0))
    (told,) = events(decided(slow), Kind.FIT_WARNING)
    assert "a full save takes 140 s" in told.why
    later = after(slow)
    assert (later.progress.unfit, later.progress.upload_s) == ((NOTICE,), 120.0)
    assert events(decided(later), Kind.FIT_WARNING) == []
    unknown = _trains(SaveStatus(), later)  # the next attempt has measured nothing: that mends nothing
    assert events(decided(unknown), Kind.FIT_MENDED) == []
    assert after(unknown).progress.upload_s == 120.0
    quick = _trains(SaveStatus(state_bytes=GIB, save_s=5.0, upload_s=20.0), later)
    assert len(events(decided(quick), Kind.FIT_MENDED)) == 1
    assert after(quick).progress.unfit == ()


def test_small_changes_of_what_is_measured_are_not_written_each_time() -> None:
    first = after(_trains(SaveStatus(state_bytes=GIB, save_s=5.0, upload_s=20.0)))
    again = _trains(SaveStatus(state_bytes=GIB, save_s=5.4, upload_s=21.0), first)
    assert after(again).progress == first.progress
