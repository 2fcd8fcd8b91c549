"""One suite for every bucket: what the protocol rests on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from tests.contracts.buckets import Open

from outlast.bucket.client import scoped
from outlast.bucket.probe import probe
from outlast.bucket.transfer import PART_BYTES
from outlast.ports import Bucket, Conflict, Denied, Exists, Missing, Unsure

WRITERS = 16
ROUNDS = 3
BIG_BYTES = 3 * PART_BYTES + 1_000  # four parts


@dataclass(frozen=True)
class Bytes:
    """A source from memory; `breaks_at`: reading beyond it fails, as a dying disk does."""

    body: bytes
    breaks_at: int | None = None

    @property
    def size(self) -> int:
        return len(self.body)

    def read(self, offset: int, length: int) -> memoryview:
        if self.breaks_at is not None and offset + length > self.breaks_at:
            raise OSError("the disk is gone")
        return memoryview(self.body)[offset : offset + length]


def _read(bucket: Bucket, key: str, offset: int, length: int) -> bytes:
    return b"".join(bytes(chunk) for chunk in bucket.stream(key, offset, length))


def _everything(bucket: Bucket, prefix: str = "") -> dict[str, int]:
    return {info.key: info.size for info in bucket.list(prefix)}


def test_an_absent_object_is_missing(bucket: Bucket) -> None:
    with pytest.raises(Missing, match="a/b"):
        bucket.get("a/b")
    with pytest.raises(Missing, match="a/b"):
        list(bucket.stream("a/b", 0, 10))
    with pytest.raises(Missing, match="a/b"):
        list(bucket.stream("a/b", 0, 0))
    bucket.delete("a/b")
    assert _everything(bucket) == {}


def test_create_writes_only_a_free_key(bucket: Bucket) -> None:
    version = bucket.create("a/b", b"first")
    with pytest.raises(Exists, match="a/b"):
        bucket.create("a/b", b"second")
    assert bucket.get("a/b").body == b"first"
    assert bucket.get("a/b").version == version


def test_a_deleted_key_is_free_again(bucket: Bucket) -> None:
    bucket.create("a/b", b"first")
    bucket.delete("a/b")
    bucket.create("a/b", b"second")
    assert bucket.get("a/b").body == b"second"


def test_replace_writes_only_over_the_version_that_was_read(bucket: Bucket) -> None:
    first = bucket.create("latest.json", b"1")
    second = bucket.replace("latest.json", b"2", first)
    assert second != first
    with pytest.raises(Conflict, match=r"latest\.json"):
        bucket.replace("latest.json", b"3", first)
    assert bucket.get("latest.json").body == b"2"
    assert bucket.get("latest.json").version == second


def test_replace_creates_nothing(bucket: Bucket) -> None:
    version = bucket.create("other", b"1")
    with pytest.raises(Conflict, match="absent"):
        bucket.replace("absent", b"2", version)
    with pytest.raises(Missing):
        bucket.get("absent")


def test_put_overwrites(bucket: Bucket) -> None:
    bucket.put("status/g1-r0.json", b"1")
    bucket.put("status/g1-r0.json", b"22")
    assert bucket.get("status/g1-r0.json").body == b"22"


def test_an_empty_object_is_an_object(bucket: Bucket) -> None:
    bucket.create("empty", b"")
    bucket.upload("empty too", Bytes(b""), lambda done: None)
    assert bucket.get("empty").body == b""
    assert _everything(bucket) == {"empty": 0, "empty too": 0}


def test_listing_is_in_key_order_and_by_plain_prefix(bucket: Bucket) -> None:
    for key in ("l/ab/c", "l/a/b", "l/a-b", "l/a0", "m"):
        bucket.create(key, key.encode())
    assert [info.key for info in bucket.list("l/")] == ["l/a-b", "l/a/b", "l/a0", "l/ab/c"]
    assert list(_everything(bucket, "l/a0")) == ["l/a0"]
    assert list(_everything(bucket, "l/ab")) == ["l/ab/c"]
    assert _everything(bucket, "nothing/") == {}


def test_a_stream_starts_and_ends_where_it_is_told(bucket: Bucket) -> None:
    body = bytes(range(256)) * 100
    bucket.create("object", body)
    assert _read(bucket, "object", 0, len(body)) == body
    assert _read(bucket, "object", 1_000, 5_000) == body[1_000:6_000]


@pytest.mark.parametrize(
    "key",
    [
        "a b",
        "ü/é",
        "a%2Fb",
        "a#?b",
        "a+b=c&d",
        "model-00001-of-00002.safetensors",
        "x[1]{2}'\"~!@$^*(),;:|<>",
    ],
)
def test_odd_names_stay_what_they_are(bucket: Bucket, key: str) -> None:
    bucket.create(f"checkpoints/{key}", b"x")
    assert bucket.get(f"checkpoints/{key}").body == b"x"
    assert _everything(bucket) == {f"checkpoints/{key}": 1}


@pytest.mark.parametrize(
    "key",
    ["../out", "a/../../out", "/etc/out", "a//b", "a/./b", "", "a/", "a\\b", "a\nb", "x" * 300, "\ud800"],
)
def test_no_key_leaves_its_place(opened: Open, key: str) -> None:
    for bucket in (opened(), scoped(opened(), "jobs/one")):
        for write in (
            lambda b: b.create(key, b"x"),
            lambda b: b.put(key, b"x"),
            lambda b: b.replace(key, b"x", "v"),
            lambda b: b.upload(key, Bytes(b"x"), lambda done: None),
            lambda b: b.get(key),
            lambda b: list(b.stream(key, 0, 1)),
            lambda b: b.delete(key),
        ):
            with pytest.raises(Denied, match="not allowed"):
                write(bucket)
    assert _everything(opened()) == {}


def test_a_scoped_bucket_sees_its_own_prefix_only(bucket: Bucket) -> None:
    one, other = scoped(bucket, "jobs/one"), scoped(bucket, "jobs/one-more")
    one.create("latest.json", b"1")
    other.create("latest.json", b"2")
    assert one.get("latest.json").body == b"1"
    assert _everything(one) == {"latest.json": 1}
    assert _everything(bucket) == {"jobs/one/latest.json": 1, "jobs/one-more/latest.json": 1}
    one.delete("latest.json")
    assert _everything(bucket) == {"jobs/one-more/latest.json": 1}


def test_a_big_upload_arrives_whole_and_tells_how_far_it_is(opened: Open) -> None:
    body = bytes(range(251)) * (BIG_BYTES // 251)
    told: list[int] = []
    opened().upload("big", Bytes(body), told.append)
    assert told[-1] == len(body)
    assert told == sorted(told)
    assert _read(opened(), "big", 0, len(body)) == body
    opened().upload("big", Bytes(body), told.append)  # the reply was lost: the same content again


@pytest.mark.parametrize("size", [1_000, BIG_BYTES])
def test_an_upload_that_breaks_leaves_nothing_visible(opened: Open, size: int) -> None:
    with pytest.raises(OSError, match="the disk is gone"):
        opened().upload("broken", Bytes(b"x" * size, breaks_at=size - 1), lambda done: None)
    assert _everything(opened()) == {}
    with pytest.raises(Missing):
        opened().get("broken")


def _race(attempt: Callable[[int], object]) -> list[int]:
    """Runs WRITERS threads at once; returns who succeeded."""
    winners: list[int] = []
    others: list[BaseException] = []
    gate = threading.Barrier(WRITERS)

    def run(number: int) -> None:
        gate.wait(30)
        try:
            attempt(number)
        except (Exists, Conflict, Unsure) as error:
            others.append(error)
        else:
            winners.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a writer hangs"
    assert len(winners) + len(others) == WRITERS
    return winners


def test_of_sixteen_creators_exactly_one_wins(opened: Open) -> None:
    buckets = [opened() for _ in range(WRITERS)]
    for number in range(ROUNDS):
        key = f"generations/{number}"

        def create(n: int, key: str = key) -> str:
            return buckets[n].create(key, b"%d" % n)

        winners = _race(create)
        assert len(winners) == 1
        assert buckets[0].get(key).body == b"%d" % winners[0]


def test_of_sixteen_replacers_exactly_one_wins(opened: Open) -> None:
    buckets = [opened() for _ in range(WRITERS)]
    version = buckets[0].create("latest.json", b"start")
    for number in range(ROUNDS):

        def replace(n: int, version: str = version, number: int = number) -> str:
            return buckets[n].replace("latest.json", b"%d in %d" % (n, number), version)

        winners = _race(replace)
        assert len(winners) == 1
        blob = buckets[0].get("latest.json")
        assert blob.body == b"%d in %d" % (winners[0], number)
        version = blob.version


def test_the_probe_accepts_it_and_leaves_nothing(bucket: Bucket) -> None:
    probe(bucket, "nonce")
    assert _everything(bucket) == {}
