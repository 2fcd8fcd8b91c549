"""The jobs' buckets as the controller uses them: the pointer, the generation numbers, the status objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from outlast import ports as node_ports
from outlast.bucket.generations import read_pointer, take_generation
from outlast.bucket.pointer import BadPointer
from outlast.bucket.prune import hold
from outlast.protocol.objects import Pointer, job_prefix
from outlast_orchestrator.controller.clock import iso
from outlast_orchestrator.core.errors import BucketError, Garbage
from outlast_orchestrator.core.ports import Clock
from outlast_orchestrator.core.types import Job

HOLDER = "restart"


class BucketPointers:
    """Implements `core.ports.Pointers`. Safe from any thread.

    `open_bucket` (storage URL, prefix) raises ValueError for a URL that names no bucket.
    """

    def __init__(self, open_bucket: Callable[[str, str], node_ports.Bucket], clock: Clock) -> None:
        self._open_bucket = open_bucket
        self._clock = clock

    def read(self, job: Job) -> Pointer | None:
        with _translated(job):
            found = read_pointer(self._bucket(job), job.owner, job.id)
        return None if found is None else found[0]

    def take_generation(self, job: Job, at_least: int, attempt: str) -> int:
        with _translated(job):
            at = iso(self._clock.wall_s())
            return take_generation(self._bucket(job), at_least, job.owner, attempt, at)

    def hold(self, job: Job, name: str) -> str:
        with _translated(job):
            hold(self._bucket(job), name, HOLDER)
        return name

    def status_bodies(self, job: Job, keys: Sequence[str]) -> dict[str, bytes]:
        with _translated(job):
            bucket = self._bucket(job)
            found = {key: _body(bucket, key) for key in keys}
        return {key: body for key, body in found.items() if body is not None}

    def jobs(self, storage: str) -> list[str]:
        try:
            keys = [info.key for info in self._open_bucket(storage, "").list("jobs/")]
        except (node_ports.BucketError, ValueError) as error:
            raise BucketError(f"{storage}: {error}") from error
        return sorted({key.split("/")[1] for key in keys})

    def _bucket(self, job: Job) -> node_ports.Bucket:
        return self._open_bucket(job.storage, job_prefix(job.id))


def _body(bucket: node_ports.Bucket, key: str) -> bytes | None:
    try:
        return bucket.get(key).body
    except node_ports.Missing:
        return None


@contextmanager
def _translated(job: Job) -> Iterator[None]:
    try:
        yield
    except BadPointer as error:
        raise Garbage(f"{job.storage}, {job_prefix(job.id)}: {error}") from error
    except (node_ports.BucketError, ValueError) as error:
        raise BucketError(f"{job.storage}, {job_prefix(job.id)}: {error}") from error
