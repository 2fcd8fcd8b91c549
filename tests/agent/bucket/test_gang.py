"""A gang's checkpoint: committed when the parts of all nodes are there, and gone with all its parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.agent.bucket.make import JOB, OWNER, me
from tests.fakes.bucket import MemoryBucket
from tests.fakes.still import StillRuntime

from outlast.bucket.gang import gather, part_of, put_part, read_start, skip_of, write_start
from outlast.bucket.manifest import ManifestCache, hash_bytes
from outlast.bucket.outcomes import Applied, Rebase
from outlast.bucket.owner import PointerOwner
from outlast.protocol.codec import dump
from outlast.protocol.messages import Permission
from outlast.protocol.objects import (
    Confidence,
    FileEntry,
    GangStart,
    checkpoint_name,
    data_prefix,
    gang_key,
    part_key,
)
from outlast.save.types import Draft

NODES = 3


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


def save(bucket: MemoryBucket, step: int, nonce: str, *paths: str, generation: int = 1) -> Draft:
    """A node's data of one save, as its uploader leaves it."""
    name = checkpoint_name(step, generation, nonce)
    entries = []
    for path in paths:
        body = f"{name}/{path}".encode()
        key = data_prefix(name) + path
        bucket.create(key, body)
        entries.append(FileEntry(path, key, len(body), hash_bytes(body)))
    return Draft(name, step, "folder", Confidence.STRONG, tuple(entries), None)


def part(bucket: MemoryBucket, rank: int, draft: Draft, generation: int = 1) -> None:
    put_part(bucket, part_of(me(generation), rank, draft))


def owner(bucket: MemoryBucket, generation: int = 1, keep: int = 2) -> PointerOwner:
    runtime = StillRuntime()
    made = PointerOwner(runtime, bucket, me(generation), lambda *_: None, keep=keep, world_size=NODES)
    assert isinstance(made.claim(Permission()), Applied)
    return made


def whole(bucket: MemoryBucket, step: int) -> Draft:
    """The save of all nodes, gathered."""
    first = save(bucket, step, f"a{step}", "model.bin", "rng_0.pth")
    for rank in (1, 2):
        part(bucket, rank, save(bucket, step, f"{rank}{step}", f"rng_{rank}.pth"))
    found = gather(bucket, me(), first, NODES)
    assert not found.missing
    return found.draft


def test_a_part_that_is_missing_is_named(bucket: MemoryBucket) -> None:
    first = save(bucket, 10, "aa", "model.bin")
    part(bucket, 2, save(bucket, 10, "cc", "rng_2.pth"))
    assert gather(bucket, me(), first, NODES).missing == (1,)


def test_the_union_of_all_parts_is_what_is_committed(bucket: MemoryBucket) -> None:
    draft = whole(bucket, 10)
    assert [entry.path for entry in draft.files] == ["model.bin", "rng_0.pth", "rng_1.pth", "rng_2.pth"]
    committed = owner(bucket).commit(draft)
    assert isinstance(committed, Applied)
    assert committed.pointer.head is not None
    assert committed.pointer.head.name == draft.name


def test_the_same_path_of_several_nodes_is_the_first_ones(bucket: MemoryBucket) -> None:
    first = save(bucket, 10, "aa", "config.json")
    part(bucket, 1, save(bucket, 10, "bb", "config.json", "rng_1.pth"))
    part(bucket, 2, save(bucket, 10, "cc", "rng_1.pth"))
    files = {entry.path: entry.key for entry in gather(bucket, me(), first, NODES).draft.files}
    assert files["config.json"].startswith(data_prefix(first.name))
    assert "-bb/" in files["rng_1.pth"]


def test_a_part_without_all_its_data_is_none(bucket: MemoryBucket) -> None:
    first = save(bucket, 10, "aa", "model.bin")
    second = save(bucket, 10, "bb", "rng_1.pth")
    part(bucket, 1, second)
    part(bucket, 2, save(bucket, 10, "cc", "rng_2.pth"))
    bucket.delete(second.files[0].key)
    assert gather(bucket, me(), first, NODES).missing == (1,)


def test_parts_of_other_steps_attempts_and_places_do_not_count(bucket: MemoryBucket) -> None:
    first = save(bucket, 10, "aa", "model.bin")
    other_step = save(bucket, 20, "bb", "rng_1.pth")
    part(bucket, 1, other_step)
    foreign = replace(part_of(me(), 1, save(bucket, 10, "dd", "rng_1.pth")), attempt="another")
    put_part(bucket, foreign)
    borrowed = replace(part_of(me(), 2, save(bucket, 10, "ee", "rng_2.pth")), files=other_step.files)
    put_part(bucket, borrowed)
    assert gather(bucket, me(), first, NODES).missing == (1, 2)


def test_who_has_left_the_save_out_says_so_unless_it_comes_after_all(bucket: MemoryBucket) -> None:
    first = save(bucket, 10, "aa", "model.bin")
    put_part(bucket, skip_of(me(), 1, 10, checkpoint_name(10, 1, "bb")))
    part(bucket, 2, save(bucket, 10, "cc", "rng_2.pth"))
    assert gather(bucket, me(), first, NODES).skipped == (1,)
    part(bucket, 1, save(bucket, 10, "dd", "rng_1.pth"))
    assert not gather(bucket, me(), first, NODES).skipped


def test_data_that_went_away_before_the_commit_is_not_committed(bucket: MemoryBucket) -> None:
    draft = whole(bucket, 10)
    bucket.delete(draft.files[-1].key)
    assert isinstance(owner(bucket).commit(draft), Rebase)


def test_a_single_node_names_no_other_ones_data(bucket: MemoryBucket) -> None:
    draft = whole(bucket, 10)
    alone = PointerOwner(StillRuntime(), bucket, me(), lambda *_: None)
    assert isinstance(alone.claim(Permission()), Applied)
    assert isinstance(alone.commit(draft), Rebase)


def test_what_leaves_takes_all_its_parts_along(bucket: MemoryBucket) -> None:
    mine = owner(bucket, keep=2)
    for step in (10, 20, 30):
        assert isinstance(mine.commit(whole(bucket, step)), Applied)
    mine.prune()
    left = [info.key for info in bucket.list("checkpoints/")]
    assert not [key for key in left if key.startswith("checkpoints/000000010-")]
    assert part_key(checkpoint_name(20, 1, "120"), 1) in left
    assert mine.pointer is not None
    for ref in mine.pointer.kept:
        for entry in ManifestCache(bucket, OWNER, JOB).read(ref).files:
            assert entry.key in left


def test_of_two_parts_of_one_node_the_one_with_more_files_counts(bucket: MemoryBucket) -> None:
    for nonces in (("a1", "b1"), ("b2", "a2")):  # whatever their order
        for nonce, paths in zip(nonces, (("s1",), ("s1", "s2")), strict=True):
            put_part(bucket, part_of(me(), 1, save(bucket, 10, nonce, *paths)))
        found = gather(bucket, me(), save(bucket, 10, f"z{nonces[0]}", "s0"), 2)
        assert {entry.path for entry in found.draft.files} == {"s0", "s1", "s2"}


def test_where_a_gang_starts_is_written_once(bucket: MemoryBucket) -> None:
    start = GangStart(1, "w1", None, "10.0.0.1", 20001)
    assert read_start(bucket, 1) is None
    assert write_start(bucket, start)
    assert write_start(bucket, start), "an earlier try, whose answer was lost"
    assert not write_start(bucket, replace(start, writer="w2"))
    assert read_start(bucket, 1) == start
    bucket.put(gang_key(1), b"not ours")
    assert not write_start(bucket, start)


@pytest.mark.parametrize(
    "other",
    [{"generation": 2}, {"attempt": "another"}, {"step": 11}, {"rank": 2}, {"job": "j"}, {"name": "n"}],
)
def test_a_part_that_does_not_say_what_its_place_says_is_none(
    bucket: MemoryBucket, other: dict[str, Any]
) -> None:
    made = part_of(me(), 1, save(bucket, 10, "bb", "rng_1.pth"))
    bucket.put(part_key(made.name, 1), dump(replace(made, **other)))
    first = save(bucket, 10, "aa", "model.bin")
    assert gather(bucket, me(), first, NODES).missing == (1, 2)
    bucket.put(part_key(made.name, 1), dump(made))
    assert gather(bucket, me(), first, NODES).missing == (2,)
