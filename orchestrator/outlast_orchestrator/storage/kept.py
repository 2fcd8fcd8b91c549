"""Keeps the client of each storage for a while: making one costs the CPU of many reads."""

from __future__ import annotations

import threading
from collections.abc import Callable

from outlast.bucket.client import narrowed, open_bucket
from outlast.ports import Bucket
from outlast_orchestrator.core.ports import Clock

# A client reads a file of credentials (Cloud Storage's) once: who mends one waits no longer than this.
KEEP_S = 120.0


class KeptBuckets:
    """Called like `open_bucket`, with a storage's URL and a prefix. Safe from any thread.

    A client loads the machine's authorities and asks for its own credentials: about 0.1 s of CPU for each
    (S3, Cloud Storage and Blob Storage alike), and every job's pointer is read every few seconds.
    """

    def __init__(self, clock: Clock, open_whole: Callable[[str], Bucket] = open_bucket) -> None:
        self._clock = clock
        self._open_whole = open_whole
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, Bucket]] = {}  # by URL: made when

    def __call__(self, url: str, prefix: str = "") -> Bucket:
        """Raises ValueError: no bucket can have this URL, or no key this prefix."""
        with self._lock:  # those who come meanwhile want the same one
            now_s = self._clock.monotonic_s()
            made_s, whole = self._kept.get(url, (0.0, None))
            if whole is None or now_s - made_s > KEEP_S:
                whole = self._open_whole(url)
                self._kept[url] = (now_s, whole)
        return narrowed(whole, prefix)
