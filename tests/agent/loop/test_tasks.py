"""The tasks that look, ship and write on their own, over a bucket in memory with the faults of real ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pytest
from tests.agent.loop.scene import WORK, pointer
from tests.fakes.bucket import Fault, MemoryBucket

from outlast.bucket.outcomes import Fenced, Mine, Stop
from outlast.bucket.outputs import FORMAT, BadIndex, OutputEntry, OutputIndex, newest_index, write_index
from outlast.clock import SystemRuntime
from outlast.lease import LeasedBucket
from outlast.news import Looked, News, OutputsFinished, StraySeen, Trouble, Wrote
from outlast.node_ports import OutputFile
from outlast.ports import Mailbox
from outlast.protocol.codec import dump
from outlast.protocol.messages import WriterRef
from outlast.protocol.objects import POINTER_KEY, Pointer, log_key
from outlast.tasks.desk import Flag, Wanted
from outlast.tasks.logs import LogsTask, LogTarget
from outlast.tasks.outputs import OutputsTask
from outlast.tasks.pointer import writer_of
from outlast.tasks.watch import Target, WatchdogTask
from outlast.view import Identity

WAIT_S = 20.0
MINE = replace(pointer(), writer="w", generation=1)
ME = writer_of(Identity("job", "own", "l-1", "boot"), 1, "w", "a1")


class LeapingRuntime(SystemRuntime):
    """The boot clock can leap ahead, as it does when a machine was frozen."""

    def __init__(self) -> None:
        self.leap_s = 0.0

    def boot_s(self) -> float:
        return super().boot_s() + self.leap_s


def heard(mailbox: Mailbox) -> News:
    news = mailbox.get(WAIT_S)
    assert news is not None, "no news came"
    return news  # type: ignore[no-any-return]


def put_pointer(bucket: MemoryBucket, value: Pointer) -> None:
    bucket.put(POINTER_KEY, dump(value))


def watchdog(bucket: MemoryBucket, target: Target, every_s: float = 3600.0) -> tuple[LeapingRuntime, Mailbox]:
    runtime = LeapingRuntime()
    mailbox = runtime.mailbox()
    WatchdogTask(runtime, bucket, "job", mailbox.put, every_s, 0.05).aim(target)
    return runtime, mailbox


def test_after_a_freeze_the_first_thing_is_a_look_at_the_pointer() -> None:
    bucket = MemoryBucket()
    put_pointer(bucket, replace(MINE, generation=2, writer="other"))
    runtime, mailbox = watchdog(bucket, Target(ME))
    assert mailbox.get(0.2) is None
    runtime.leap_s = 3601.0
    news = heard(mailbox)
    assert isinstance(news, Looked)
    assert isinstance(news.outcome, Fenced)


def test_a_look_at_our_own_pointer_is_no_alarm() -> None:
    bucket = MemoryBucket()
    put_pointer(bucket, MINE)
    _, mailbox = watchdog(bucket, Target(ME), 0.05)
    news = heard(mailbox)
    assert isinstance(news, Looked)
    assert isinstance(news.outcome, Mine)


def test_a_pointer_that_vanished_or_is_garbage_is_an_alarm() -> None:
    bucket = MemoryBucket()
    _, mailbox = watchdog(bucket, Target(ME), 0.05)
    news = heard(mailbox)
    assert isinstance(news, Looked)
    assert isinstance(news.outcome, Stop)
    bucket.put(POINTER_KEY, b"garbage")
    while isinstance(news, Looked) and "JSON" not in news.outcome.why:
        news = heard(mailbox)
    assert isinstance(news, Looked)
    assert isinstance(news.outcome, Stop)


def test_a_late_claim_of_an_earlier_life_is_seen() -> None:
    bucket = MemoryBucket()
    put_pointer(bucket, replace(MINE, writer="old"))
    _, mailbox = watchdog(bucket, Target(None, (WriterRef(1, "old"),)), 0.05)
    assert heard(mailbox) == StraySeen(WriterRef(1, "old"))


# outputs


@dataclass
class Bytes:
    body: bytes

    @property
    def size(self) -> int:
        return len(self.body)

    def read(self, offset: int, length: int) -> bytes:
        return self.body[offset : offset + length]


@dataclass
class Files:
    """The port `Outputs` over a dictionary."""

    files: dict[str, bytes] = field(default_factory=dict)

    def scan(self, patterns: tuple[str, ...], *, quiet: bool) -> tuple[OutputFile, ...]:
        return tuple(OutputFile(p, len(b), str(hash(b)), Bytes(b)) for p, b in sorted(self.files.items()))

    def has(self, path: str, size: int, digest: str) -> bool:
        return False

    def write(self, path: str, chunks: Iterable[bytes | memoryview]) -> None:
        self.files[path] = b"".join(chunks)


LEAVES = replace(WORK, outputs=("*.csv",))


def test_outputs_are_uploaded_while_training_runs_and_again_when_they_change() -> None:
    bucket, files, runtime = MemoryBucket(), Files({"a.csv": b"1"}), SystemRuntime()
    mailbox = runtime.mailbox()
    task = OutputsTask(runtime, bucket, files, mailbox.put, 0.02)
    task.follow(1, LEAVES)
    _until(lambda: _sizes(bucket) == {"a.csv": 1})
    files.files["a.csv"] = b"1\n2"
    _until(lambda: _sizes(bucket) == {"a.csv": 3})
    index = newest_index(bucket)
    assert index is not None
    assert not index.complete


def test_outputs_count_as_verified_only_when_they_were_seen_whole() -> None:
    bucket, runtime = MemoryBucket(), SystemRuntime()
    bucket.faults.append(Fault("create", "outputs/index-g1.json", "dropped"))
    mailbox = runtime.mailbox()
    task = OutputsTask(runtime, bucket, Files({"a.csv": b"1", "b.csv": b"22"}), mailbox.put, 60.0)
    task.finish(1, LEAVES, Flag())
    first, second = heard(mailbox), heard(mailbox)
    assert isinstance(first, OutputsFinished)
    assert isinstance(first.outcome, Trouble)
    assert isinstance(second, OutputsFinished)
    assert "2 files, 3 bytes" in str(second.outcome)
    index = newest_index(bucket)
    assert index is not None
    assert index.complete


def test_an_index_that_arrives_late_does_not_undo_the_one_of_the_end() -> None:
    """A rough bucket swallowed an index of the time of training; it arrives minutes after the end."""
    for verb, there_before in (("create", False), ("replace", True)):
        bucket, files, runtime = MemoryBucket(), Files({"a.csv": b"1"}), SystemRuntime()
        if there_before:
            write_index(bucket, OutputIndex(FORMAT, 1, ()))
        bucket.fail("late", verb, "outputs/index-g1.json")
        mailbox = runtime.mailbox()
        task = OutputsTask(runtime, bucket, files, mailbox.put, 0.02)
        task.follow(1, LEAVES)
        _until(lambda bucket=bucket: not bucket.faults)
        files.files["a.csv"] = b"1\n2"
        task.finish(1, LEAVES, Flag())
        news = heard(mailbox)
        assert isinstance(news, OutputsFinished)
        assert "verified" in str(news.outcome)
        bucket.deliver()
        index = newest_index(bucket)
        assert index is not None
        assert index.complete
        assert _sizes(bucket) == {"a.csv": 3}


def test_the_highest_generations_index_counts() -> None:
    bucket, runtime = MemoryBucket(), SystemRuntime()
    mailbox = runtime.mailbox()
    for generation, body in ((10, b"new"), (9, b"frozen for an hour")):
        OutputsTask(runtime, bucket, Files({"a.csv": body}), mailbox.put, 60.0).finish(
            generation, LEAVES, Flag()
        )
        heard(mailbox)
    assert _sizes(bucket) == {"a.csv": 3}


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "", ".", "a\0b"])
def test_an_index_that_leads_out_of_the_folder_is_refused_as_a_whole(path: str) -> None:
    """Whoever can write to the bucket must not choose where files of a node, or of a person, come to lie."""
    bucket = MemoryBucket()
    write_index(bucket, OutputIndex(FORMAT, 1, (OutputEntry(path, "outputs/.objects/x", 1, "xxh3-128:0"),)))
    with pytest.raises(BadIndex, match="leads out"):
        newest_index(bucket)


def _sizes(bucket: MemoryBucket) -> dict[str, int]:
    index = newest_index(bucket)
    return {} if index is None else {entry.path: entry.size for entry in index.files}


# logs and the lease


@dataclass
class Lines:
    """The port `LogShip` over bytes."""

    body: bytes = b""

    def say(self, line: str) -> None:
        self.body += line.encode()

    def peek(self, limit_bytes: int) -> bytes:
        return self.body[:limit_bytes]

    def shipped(self, count: int) -> None:
        self.body = self.body[count:]


def test_a_chunk_whose_answer_was_lost_is_neither_lost_nor_doubled() -> None:
    bucket, lines, runtime = MemoryBucket(), Lines(b"one\n"), SystemRuntime()
    first, second = log_key(1, 0, "boot", 0), log_key(1, 0, "boot", 1)
    bucket.faults.append(Fault("create", first, "lost"))
    LogsTask(runtime, bucket, lines, "boot", 0.02).aim(LogTarget(1, 0))
    _until(lambda: lines.body == b"")
    lines.say("two\n")
    _until(lambda: lines.body == b"")
    assert (bucket.get(first).body, bucket.get(second).body) == (b"one\n", b"two\n")


def test_the_last_lines_of_an_attempt_do_not_wait_for_the_next_round() -> None:
    bucket, lines, runtime = MemoryBucket(), Lines(), SystemRuntime()
    task = LogsTask(runtime, bucket, lines, "boot", 3600.0)
    task.aim(LogTarget(1, 0))
    lines.say("the last\n")
    task.hurry()
    _until(lambda: lines.body == b"")
    assert bucket.get(log_key(1, 0, "boot", 0)).body == b"the last\n"


def test_only_writes_that_succeed_renew_the_lease_from_when_they_were_sent() -> None:
    bucket, runtime = MemoryBucket(), SystemRuntime()
    mailbox = runtime.mailbox()
    leased = LeasedBucket(bucket, runtime, mailbox.put)
    before_s = runtime.boot_s()
    leased.put("status/x", b"1")
    news = heard(mailbox)
    assert isinstance(news, Wrote)
    assert before_s <= news.sent_s <= runtime.boot_s()
    leased.get("status/x")
    list(leased.list("status/"))
    assert mailbox.get(0.0) is None


def _until(true: object) -> None:
    assert callable(true)
    runtime = SystemRuntime()
    for _ in range(int(WAIT_S / 0.02)):
        if true():
            return
        runtime.sleep(0.02)
    raise AssertionError("it never happened")


def test_what_is_ordered_after_a_call_off_is_wanted_again() -> None:
    """The notice was withdrawn before the release came through: the uploads that follow are wanted."""
    wanted = Wanted()
    before = wanted.order()
    wanted.call_off()
    after = wanted.order()
    assert (before(), after(), wanted.order()()) == (True, False, False)
    wanted.call_off()
    assert after()
