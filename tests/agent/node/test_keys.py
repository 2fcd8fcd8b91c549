"""The ring of keys: renewed at half their life, waited for when there are none, and told who gives none."""

from __future__ import annotations

import threading

import pytest

from outlast.clock import SystemRuntime
from outlast.node.keys import AGAIN_S, KeyRing, KeysAway, KeysRefused
from outlast.ports import LinkDown, LinkRefused, Mailbox
from outlast.protocol.messages import BucketKeys

LIFE_S = 3600.0
BOUND_S = 20.0


class Waits:
    """A mailbox whose owner's waits the test sees, and ends."""

    def __init__(self, clock: HandRuntime) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._items: list[object] = []
        self.waits_s: list[float] = []

    def put(self, item: object) -> None:
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def get(self, timeout_s: float | None) -> object | None:
        with self._changed:
            if timeout_s == 0.0:
                return self._items.pop() if self._items else None
            assert timeout_s is not None
            due_s = self._clock.now_s + timeout_s
            self.waits_s.append(timeout_s)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._items or self._clock.now_s >= due_s)
            return self._items.pop() if self._items else None

    def until_wait(self, number: int) -> float:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.waits_s) >= number, BOUND_S)
            return self.waits_s[number - 1]

    def passed(self) -> None:
        with self._changed:
            self._changed.notify_all()


class HandRuntime(SystemRuntime):
    """Threads are real, time is set by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.waits = Waits(self)

    def boot_s(self) -> float:
        return self.now_s

    def mailbox(self) -> Mailbox:
        return self.waits

    def later(self, seconds: float) -> None:
        self.now_s += seconds
        self.waits.passed()


class Giver:
    def __init__(self) -> None:
        self.given = self.asked = 0
        self.refuses: Exception | None = None

    def __call__(self) -> BucketKeys:
        self.asked += 1
        if self.refuses is not None:
            raise self.refuses
        self.given += 1
        return BucketKeys({"access_key_id": str(self.given)}, LIFE_S)


def ring() -> tuple[KeyRing, Giver, HandRuntime]:
    runtime, giver = HandRuntime(), Giver()
    made = KeyRing(giver, runtime)
    made.start()
    return made, giver, runtime


def test_they_are_renewed_at_half_of_their_life() -> None:
    keys, _giver, runtime = ring()
    assert runtime.waits.until_wait(1) == LIFE_S / 2
    assert keys()["access_key_id"] == "1"
    runtime.later(LIFE_S / 2)
    runtime.waits.until_wait(2)
    assert keys()["access_key_id"] == "2"


def test_a_controller_that_is_away_for_a_while_is_not_noticed() -> None:
    keys, giver, runtime = ring()
    runtime.waits.until_wait(1)
    giver.refuses = LinkDown("refused")
    runtime.later(LIFE_S / 2)
    assert runtime.waits.until_wait(2) == AGAIN_S
    runtime.now_s += LIFE_S / 2 - 30
    assert keys()["access_key_id"] == "1"


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (LinkDown("the controller answers 503"), KeysAway),
        (LinkRefused("the controller answers 403"), KeysRefused),
    ],
)
def test_those_that_are_over_are_never_used(error: Exception, found: type[Exception]) -> None:
    """Also not in the last moments: a request takes time, and the store's clock is another one."""
    keys, giver, runtime = ring()
    runtime.waits.until_wait(1)
    giver.refuses = error
    runtime.later(LIFE_S - 10)
    runtime.waits.until_wait(2)
    with pytest.raises(found, match="no keys for it: the controller answers"):
        keys()


def test_after_a_freeze_the_first_request_waits_for_new_ones() -> None:
    keys, _giver, runtime = ring()
    runtime.waits.until_wait(1)
    runtime.now_s += 2 * LIFE_S  # nothing has woken yet
    assert keys()["access_key_id"] == "2"


def test_who_asks_before_the_first_came_waits_for_them() -> None:
    runtime, giver = HandRuntime(), Giver()
    keys = KeyRing(giver, runtime)
    found: list[str] = []
    asking = threading.Thread(target=lambda: found.append(keys()["access_key_id"]))
    asking.start()
    keys.start()
    asking.join(BOUND_S)
    assert found == ["1"]


def test_many_requests_without_keys_do_not_hammer_the_controller() -> None:
    keys, giver, runtime = ring()
    runtime.waits.until_wait(1)
    giver.refuses, before = LinkDown("away"), giver.asked
    runtime.now_s += LIFE_S
    for _ in range(50):
        with pytest.raises(KeysAway):
            keys()
    assert giver.asked == before + 1
