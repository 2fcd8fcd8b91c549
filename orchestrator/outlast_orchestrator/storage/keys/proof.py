"""Hands out keys only where the store keeps to their limits: one that ignores them is found by trying."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from outlast.bucket.client import open_bucket
from outlast.ports import Bucket, BucketError, Denied, Missing
from outlast.protocol.messages import BucketKeys
from outlast.protocol.objects import job_prefix
from outlast_orchestrator.core.ports import Credentials

OTHER = "outlast-no-job"  # there is no such job: its prefix is another's for every job
OBJECT = "a-look-at-the-keys"


class Proven:
    """Looks once for each bucket, with the very first keys, whether they reach another job's prefix."""

    def __init__(self, source: Credentials, opener: Callable[..., Bucket] = open_bucket) -> None:
        self._source = source
        self._open = opener
        self._lock = threading.Lock()
        self._proven: set[str] = set()

    @property
    def about(self) -> str:
        return self._source.about

    def issue(self, storage: str, job: str) -> BucketKeys:
        """Raises BucketError; Denied where the keys would reach more than the job's own."""
        keys = self._source.issue(storage, job)
        with self._lock:
            if storage not in self._proven:
                self._look(storage, keys)
                self._proven.add(storage)
        return keys

    def _look(self, storage: str, keys: BucketKeys) -> None:
        """A store that checks nothing says that there is no such object, or shows it."""
        bucket = self._open(storage, options=keys.options)
        with suppress(Missing):
            try:
                bucket.get(f"{job_prefix(OTHER)}{OBJECT}")
            except Denied:
                return
        raise Denied(
            "this store gives keys for one job that reach every job's checkpoints: set storage_keys: machine "
            "only if that may be"
        )


def problems(source: Credentials, storage: str, name: str) -> list[str]:
    """What is wrong with keys for a job of that name, for `outlast doctor`: they are made, and used."""
    try:
        keys = source.issue(storage, name)
        own = open_bucket(storage, prefix=job_prefix(name), options=keys.options)
        own.put(OBJECT, b"")
        own.get(OBJECT)
        list(own.list(""))
        own.delete(OBJECT)
    except BucketError as error:
        return [str(error)]
    return []
