"""Moves big objects through obstore, whatever the cloud: parts up, ranges down, little of it in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import obstore
from obstore.store import MemoryStore, ObjectStore

from outlast.ports import BucketError, Source, UploadCancelled

SMALL_BYTES = 8 << 20  # up to here an upload is one conditional create
PART_BYTES = 8 << 20
PARTS_MAX = 9_000  # S3 allows 10,000
HELD_BYTES = 24 << 20  # in flight, of parts that are held in memory, which the trainer may need
MAPPED_BYTES = 64 << 20  # of parts that are mapped files
STREAM_CHUNK_BYTES = 1 << 20

Errors = Callable[[str], AbstractContextManager[None]]  # turns obstore's exceptions into the bucket's


def start_threads() -> None:
    """obstore starts its threads at its first call, with the priority of the thread that makes it."""
    obstore.put(MemoryStore(), "first", b"")


def send_parts(
    store: ObjectStore, key: str, source: Source, wrote: Callable[[int], None], errors: Errors
) -> None:
    """All of `source` under `key`, in parts that are retried one by one; visible only once it is whole.

    No condition can be put on it: obstore would send it as one single request. It needs none, for the key
    holds a nonce, so that only this very content is ever sent to it. Raises what `errors` makes of
    obstore's exceptions; the source's own OSError and UploadCancelled as they are.
    """
    failures: list[OSError | UploadCancelled] = []
    part = part_bytes(source.size)
    first = [source.read(0, part)]
    mapped = isinstance(first[0], memoryview)
    try:
        with errors(key):
            obstore.put(
                store,
                key,
                _chunks(source, first, part, wrote, failures),
                use_multipart=True,
                chunk_size=part,
                max_concurrency=parts_in_flight(part, mapped=mapped),
            )
    except (OSError, BucketError, UploadCancelled):
        if failures:
            raise failures[0] from None
        raise


def fetch_range(store: ObjectStore, key: str, offset: int, length: int) -> Iterator[memoryview]:
    """`length` bytes from `offset`, as they arrive; with none only whether the object is there."""
    if length <= 0:
        obstore.head(store, key)
        return
    result = obstore.get(store, key, options={"range": (offset, offset + length)})
    for chunk in result.stream(min_chunk_size=STREAM_CHUNK_BYTES):
        yield memoryview(chunk)


def part_bytes(size: int) -> int:
    return max(PART_BYTES, -(-size // PARTS_MAX))


def parts_in_flight(part: int, *, mapped: bool) -> int:
    """Fewer of the larger ones, but never one alone: while it is sent the next one is read."""
    return max(2, (MAPPED_BYTES if mapped else HELD_BYTES) // part)


def _chunks(
    source: Source,
    first: list[bytes | memoryview],
    part: int,
    wrote: Callable[[int], None],
    failures: list[OSError | UploadCancelled],
) -> Iterator[bytes | memoryview]:
    """`first` is taken out of its list: nobody else may hold a part back in memory."""
    done = 0
    while done < source.size:
        try:
            chunk = first.pop() if first else source.read(done, min(part, source.size - done))
        except (OSError, UploadCancelled) as error:
            failures.append(error)
            raise
        done += len(chunk)
        yield chunk
        del chunk
        wrote(done)
