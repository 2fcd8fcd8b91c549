"""Keeps valid keys for the bucket: asks the controller for new ones in time, tells when there are none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from outlast.bucket.credentials import NoKeys
from outlast.ports import LinkDown, LinkRefused, Runtime
from outlast.protocol.messages import BucketKeys

AGAIN_S = 5.0  # after a try that failed
FIRST_LIMIT_S = 30.0  # how long a request waits for the very first keys, or for those after a freeze
MARGIN_S = 15.0  # keys count as over so long before they are: a request takes time, and clocks differ


class KeysAway(NoKeys):
    """None are valid, and nobody answers who could give some."""


class KeysRefused(NoKeys):
    """The controller gives this node none."""


class KeyRing:
    """Called by the bucket's client, from any thread, for the keys of its next request.

    New ones are asked for when half of their life is over, so a controller may be away for the other half
    before anything is noticed. `fetch` raises LinkDown, LinkRefused; it never runs in a caller's thread.
    """

    def __init__(self, fetch: Callable[[], BucketKeys], runtime: Runtime) -> None:
        self._fetch = fetch
        self._runtime = runtime
        self._changed = threading.Condition()
        self._keys: BucketKeys | None = None
        self._ends_s = float("-inf")
        self._tried_s = float("-inf")
        self._problem: KeysAway | KeysRefused = KeysAway("the controller has not answered yet")
        self._pokes = runtime.mailbox()

    def start(self) -> None:
        self._runtime.spawn("keys", self._run)

    def __call__(self) -> Mapping[str, str]:
        """Raises KeysAway, KeysRefused."""
        with self._changed:
            tried_s = self._tried_s
            if not self._valid() and self._runtime.boot_s() - tried_s >= AGAIN_S:
                self._pokes.put(True)  # after a freeze the next try would be far away
                self._changed.wait_for(lambda: self._tried_s > tried_s, FIRST_LIMIT_S)
            if self._keys is None or not self._valid():
                raise self._problem
            return self._keys.options

    def _valid(self) -> bool:
        return self._runtime.boot_s() < self._ends_s

    def _run(self) -> None:
        while True:
            next_s = self._renew()
            while self._pokes.get(0.0) is not None:
                pass  # those who asked meanwhile have been answered
            self._pokes.get(next_s)

    def _renew(self) -> float:
        """One try; returns how long until the next, in seconds."""
        sent_s = self._runtime.boot_s()
        try:
            keys = self._fetch()
        except LinkDown as error:
            return self._failed(KeysAway(f"no keys for it: {error}"))
        except LinkRefused as error:
            return self._failed(KeysRefused(f"no keys for it: {error}"))
        with self._changed:
            self._keys, self._ends_s = keys, sent_s + keys.life_s - min(MARGIN_S, keys.life_s / 10)
            self._done()
        return keys.life_s / 2

    def _failed(self, problem: KeysAway | KeysRefused) -> float:
        with self._changed:
            self._problem = problem
            self._done()
        return AGAIN_S

    def _done(self) -> None:
        self._tried_s = self._runtime.boot_s()
        self._changed.notify_all()
