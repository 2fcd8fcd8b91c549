"""Who leaves `kept`: never the head, never a pinned one, first what a roll-back abandoned."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.agent.bucket.make import names, pointer, ref

from outlast.bucket.retention import KEEP_MIN, victims
from outlast.bucket.verbs import Advance, build_advance
from outlast.protocol.objects import ManifestRef

A, B, C, D, E = (ref(step) for step in (10, 20, 30, 40, 50))
LINE = {A.name: None, B.name: A.name, C.name: B.name, D.name: C.name, E.name: D.name}


def test_the_far_end_of_the_chain_leaves() -> None:
    assert victims((A, B, C, D, E), LINE, E, (), 3) == (A, B)


def test_nobody_leaves_before_there_are_enough() -> None:
    assert victims((A, B, C), LINE, C, (), 3) == ()
    assert victims((), {}, None, (), 3) == ()


def test_what_was_abandoned_leaves_first() -> None:
    branched = {A.name: None, B.name: A.name, E.name: A.name}
    assert victims((A, B, C, D, E), branched, E, (), 3) == (B, C)
    assert victims((A, B, C, D, E), branched, E, (), 2) == (B, C, D)


def test_the_head_stays_even_when_it_joined_first() -> None:
    assert victims((A, B, C, D), {A.name: None}, A, (), 2) == (B, C)


def test_pinned_ones_stay_and_do_not_count() -> None:
    assert victims((A, B, C, D, E), LINE, E, (A.name, C.name), 3) == ()
    assert victims((A, B, C, D, E), LINE, E, (A.name,), 3) == (B,)


def test_the_parent_of_the_head_always_stays() -> None:
    assert KEEP_MIN == 2
    assert names(victims((A, B, C, D, E), LINE, E, (), 0)) == [10, 20, 30]


def test_nobody_leaves_while_the_chain_is_unreadable() -> None:
    assert victims((A, B, C, D, E), {E.name: D.name}, E, (), 2) == ()
    assert victims((A, B, C, D, E), {}, E, (), 2) == ()


def test_a_chain_that_leads_out_of_kept_ends_there() -> None:
    assert victims((C, D, E), {C.name: B.name, D.name: C.name, E.name: D.name}, E, (), 2) == (C,)


@settings(derandomize=True, database=None)
@given(st.data())
def test_for_any_tree_head_and_pins_stay_and_enough_remain(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 8))
    kept = tuple(ref(step) for step in data.draw(st.permutations(range(count))))
    parents: dict[str, str | None] = {}
    for place, entry in enumerate(kept):
        above = data.draw(st.none() | st.integers(0, place - 1)) if place else None
        parents[entry.name] = kept[above].name if above is not None else None
    head = data.draw(st.sampled_from(kept))
    pinned = tuple(entry.name for entry in kept if data.draw(st.booleans()))
    keep = data.draw(st.integers(0, 9))
    leaving = victims(kept, parents, head, pinned, keep)
    assert head not in leaving
    assert not {entry.name for entry in leaving} & set(pinned)
    staying = [entry for entry in kept if entry not in leaving]
    assert len(staying) >= min(len(kept), max(keep, KEEP_MIN))
    chain = _chain(head, parents)
    abandoned_stay = [e for e in staying if e.name not in chain and e.name not in pinned]
    if abandoned_stay:
        assert not [e for e in leaving if e.name in chain]


def _chain(head: ManifestRef, parents: dict[str, str | None]) -> list[str]:
    chain: list[str] = []
    name: str | None = head.name
    while name is not None:
        chain.append(name)
        name = parents[name]
    return chain


def test_an_advance_moves_the_head_and_everything_else_in_one_write() -> None:
    found = pointer(kept=(A, B, C, D))
    wishes = frozenset({B.name, "never heard of"})
    after, leaving = build_advance(found, Advance("later", E, wishes, LINE, 3))
    assert (after.seq, after.head, after.kept, after.pinned) == (8, E, (B, C, D, E), (B.name,))
    assert leaving == (A,)


def test_without_the_wishes_nobody_leaves_and_no_pin_is_lost() -> None:
    found = pointer(kept=(A, B, C, D), pinned=(A.name,))
    after, leaving = build_advance(found, Advance("later", E, None, LINE, 2))
    assert (after.kept, after.pinned, leaving) == ((A, B, C, D, E), (A.name,), ())


def test_an_unpinned_checkpoint_may_leave() -> None:
    found = pointer(kept=(A, B, C, D), pinned=(A.name,))
    after, leaving = build_advance(found, Advance("later", E, frozenset(), LINE, 3))
    assert (after.pinned, leaving) == ((), (A, B))


def test_what_the_attempt_really_started_from_is_recorded() -> None:
    after, _ = build_advance(pointer(kept=(A, B)), Advance("later", started=(A, "the head was damaged")))
    assert (after.started_from, after.started_why) == (A, "the head was damaged")
