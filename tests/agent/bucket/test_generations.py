"""A generation is taken once and for ever, whatever was forgotten."""

from __future__ import annotations

import pytest
from tests.fakes.bucket import MemoryBucket

from outlast.bucket.generations import take_generation
from outlast.bucket.status import read_status, write_status
from outlast.ports import Unsure
from outlast.protocol.codec import FormatError, load
from outlast.protocol.messages import AgentState, Report
from outlast.protocol.objects import GenerationTaken, generation_key, status_key


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


def take(bucket: MemoryBucket, at_least: int, attempt: str) -> int:
    return take_generation(bucket, at_least, "owner", attempt, "now")


def test_each_attempt_takes_the_next_number(bucket: MemoryBucket) -> None:
    assert [take(bucket, 1, f"attempt-{n}") for n in range(3)] == [1, 2, 3]
    taken = load(GenerationTaken, bucket.get(generation_key(2)).body)
    assert taken == GenerationTaken(2, "owner", "attempt-1", "now")


def test_a_store_restored_from_a_backup_reuses_nothing(bucket: MemoryBucket) -> None:
    for number in range(200):
        take(bucket, 1 + number, f"attempt-{number}")
    assert take(bucket, 1, "restored") == 201


def test_numbers_that_are_known_are_skipped(bucket: MemoryBucket) -> None:
    assert take(bucket, 8, "a") == 8
    assert take(bucket, 0, "b") == 1


def test_a_lost_reply_finds_the_number_again(bucket: MemoryBucket) -> None:
    bucket.fail("lost", "create", "generations/")
    assert take(bucket, 1, "a") == 1
    assert take(bucket, 1, "a") == 1
    assert take(bucket, 1, "b") == 2


def test_a_late_create_leaves_the_number_in_doubt_and_is_found_later(bucket: MemoryBucket) -> None:
    bucket.fail("late", "create", "generations/")
    with pytest.raises(Unsure, match="generations/1"):
        take(bucket, 1, "a")
    bucket.deliver()
    assert take(bucket, 1, "a") == 1


def test_whatever_lies_under_a_number_takes_it(bucket: MemoryBucket) -> None:
    bucket.put(generation_key(1), b"garbage")
    bucket.put("generations/notes.txt", b"")
    assert take(bucket, 1, "a") == 2


def test_status_objects_are_reports(bucket: MemoryBucket) -> None:
    report = Report("job", 3, 1, "l-1", "boot", 7, AgentState.RUNNING, step=12)
    assert read_status(bucket, 3, 1) is None
    write_status(bucket, report)
    assert read_status(bucket, 3, 1) == report
    bucket.put(status_key(3, 1), b"[]")
    with pytest.raises(FormatError):
        read_status(bucket, 3, 1)
