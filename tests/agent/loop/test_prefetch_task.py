"""A node that waits for its turn has the head before it is its turn, and keeps its hands off afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.agent.loop.scene import WORK
from tests.agent.restoring import Place

from outlast.clock import SystemRuntime
from outlast.news import FactSeen
from outlast.ports import Mailbox
from outlast.protocol.messages import Work
from outlast.restore import FolderSink
from outlast.tasks.prefetch import PrefetchTask
from outlast.view import Identity

WAIT_S = 30.0
EVERY_S = 0.05


@dataclass(frozen=True)
class OnlySink:
    """The one thing of a workplace that a prefetch uses."""

    folder: FolderSink

    def sink(self, work: Work) -> FolderSink:
        return self.folder


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def start(place: Place, every_s: float = EVERY_S) -> tuple[PrefetchTask, Mailbox]:
    runtime = SystemRuntime()
    news = runtime.mailbox()
    pointer = place.pointer()
    identity = Identity(pointer.job, pointer.owner, "l-2", "boot")
    task = PrefetchTask(
        runtime,
        place.bucket,
        OnlySink(place.sink),  # type: ignore[arg-type]
        identity,
        news.put,
        every_s,
    )
    task.begin(WORK)
    return task, news


def told(news: Mailbox) -> str:
    fact = news.get(WAIT_S)
    assert isinstance(fact, FactSeen), fact
    assert fact.kind == "restore.prefetched"
    return fact.why


def test_the_head_is_fetched_and_then_the_next_one_and_the_restore_fetches_nothing(place: Place) -> None:
    task, news = start(place)
    assert place.refs[2].name in told(news)
    newer = place.attempt.commit(40, files=place.content(40))
    assert newer.name in told(news)
    task.take_turn()
    place.runtime = SystemRuntime()
    assert place.restored().fetched_bytes == 0
    task.give_turn()


def test_after_its_turn_nothing_is_fetched_any_more(place: Place) -> None:
    task, news = start(place)
    told(news)
    task.take_turn()
    task.give_turn()
    place.attempt.commit(40, files=place.content(40))
    assert news.get(EVERY_S * 6) is None
    task.begin(WORK)
    told(news)


def test_while_another_has_the_turn_nothing_is_written(place: Place) -> None:
    task, news = start(place)
    told(news)
    task.take_turn()
    task.begin(WORK)
    place.attempt.commit(40, files=place.content(40))
    assert news.get(EVERY_S * 6) is None
    task.give_turn()
    told(news)


def test_a_bucket_without_a_pointer_or_with_a_torn_one_is_no_news(place: Place) -> None:
    place.bucket.put("latest.json", b"torn")
    task, news = start(place)
    assert news.get(EVERY_S * 4) is None
    place.bucket.delete("latest.json")
    assert news.get(EVERY_S * 4) is None
    task.take_turn()


def test_it_can_be_switched_off(place: Place) -> None:
    task, news = start(place, 0.0)
    assert news.get(EVERY_S * 4) is None
    task.take_turn()
    task.give_turn()
