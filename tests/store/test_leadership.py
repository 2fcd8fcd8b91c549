"""Taking over compares no clocks of two hosts: it takes a row that was watched and did not change."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.contracts.rows import instance, job
from tests.fakes.hand_clock import HandClock

from outlast_orchestrator.core.errors import Deposed
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.store.db import SqlStore, open_store

SAID = Event(Kind.TELL, "x")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'outlast.db'}"


def test_a_candidate_with_a_clock_years_ahead_takes_nothing_from_a_living_leader(url: str) -> None:
    mine, theirs = HandClock(), HandClock()
    theirs.wall += 1e8
    theirs.now_s += 1e8
    leader, candidate = open_store(url, mine), open_store(url, theirs)
    term = leader.lead("me", 10.0)
    assert term is not None
    for _ in range(10):
        assert candidate.lead("other", 10.0) is None
        theirs.forward(9.0)
        assert leader.lead("me", 10.0) == term  # a renewal, whatever time it is here


def test_a_quiet_leader_is_replaced_and_then_deposed(url: str) -> None:
    clock = HandClock()
    leader, candidate = open_store(url, HandClock()), open_store(url, clock)
    term = leader.lead("me", 10.0)
    assert term is not None
    assert candidate.lead("other", 10.0) is None
    clock.forward(9.9)
    assert candidate.lead("other", 10.0) is None
    clock.forward(0.2)
    new = candidate.lead("other", 10.0)
    assert new is not None
    assert new.number == term.number + 1
    assert not leader.leads(term)
    with pytest.raises(Deposed, match="term 1 is over"):
        leader.commit(term, [], [SAID])
    assert leader.lead("me", 10.0) is None


def test_a_candidate_waits_for_the_leaders_own_time_to_live(url: str) -> None:
    clock = HandClock()
    leader, candidate = open_store(url, HandClock()), open_store(url, clock)
    leader.lead("me", 60.0)
    candidate.lead("other", 5.0)
    clock.forward(30.0)
    assert candidate.lead("other", 5.0) is None


def test_a_restored_store_repeats_numbers_but_not_holders(tmp_path: Path) -> None:
    clock = HandClock()
    leader = open_store(f"sqlite:///{tmp_path / 'a.db'}", clock)
    term = leader.lead("me", 10.0)
    restored = open_store(f"sqlite:///{tmp_path / 'b.db'}", clock)
    again = restored.lead("someone", 10.0)
    assert term is not None
    assert again is not None
    assert again.number == term.number
    with pytest.raises(Deposed):
        restored.commit(term, [], [SAID])


def test_whoever_has_proof_seizes_at_once(url: str) -> None:
    store = open_store(url, HandClock())
    term = store.lead("dead", 1000.0)
    assert term is not None
    new = store.seize("me", 10.0)
    assert store.lead("me", 10.0) == new
    assert not store.leads(term)


def test_the_term_is_checked_in_the_transaction_that_writes(url: str) -> None:
    """Another controller takes over after this one looked and before it wrote."""
    one, two = open_store(url, HandClock()), open_store(url, HandClock())
    term = one.lead("one", 10.0)
    assert term is not None
    one.submit(job(), SAID)
    assert one.leads(term)
    two.seize("two", 10.0)
    with pytest.raises(Deposed):
        one.commit(term, [instance()], [SAID])
    assert _launches(two) == []


def _launches(store: SqlStore) -> list[str]:
    return [record.launch_id for record in store.instances()]
