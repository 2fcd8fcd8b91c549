"""Tries on the bucket itself what jobs will do with it: rights, conditions, a race, parts, speed."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from shlex import quote

from outlast.bucket.probe import PROBE_PREFIX, BucketRefused, probe
from outlast.bucket.transfer import PART_BYTES
from outlast.ports import Bucket, BucketError, Conflict, Denied, Exists, Unsure
from outlast_orchestrator.storage.clock import CheckClock
from outlast_orchestrator.storage.finding import Finding, bad, ok, warn
from outlast_orchestrator.storage.place import Place

RACERS = 8
ROUNDS = 2
RACE_LIMIT_S = 60.0
BIG_BYTES = 4 * PART_BYTES
BLOCK_BYTES = 64 << 10
SLOW_MB_S = 10.0
SPACE_GB_MIN = 10.0
OTHER_STORE = "use another store: S3, GCS, Azure Blob, R2, MinIO and SeaweedFS have what it takes"


def rights(place: Place, nonce: str) -> Finding:
    """Writes, reads, lists and deletes one small object."""
    bucket, key = place.bucket, f"{PROBE_PREFIX}{nonce}-rights"
    doing = "written"
    try:
        bucket.create(key, nonce.encode())
        doing = "read"
        if bucket.get(key).body != nonce.encode():
            return bad("rights", "what is read is not what was written", OTHER_STORE)
        doing = "listed"
        if key not in {info.key for info in bucket.list(PROBE_PREFIX)}:
            return bad("rights", "an object that was just written is not listed", OTHER_STORE)
    except BucketError as error:
        _delete(bucket, key)
        return bad("rights", f"nothing can be {doing}: {error}", place.rights)
    try:
        bucket.delete(key)
    except Denied as error:
        told = f"nothing can be deleted, so old checkpoints stay for ever: {error}"
        return warn("rights", told, place.rights)
    except BucketError as error:
        return bad("rights", f"nothing can be deleted: {error}", "try again")
    return ok("rights", "write, read, list and delete")


def conditions(place: Place, nonce: str) -> Finding:
    """One after the other, and then at once: exactly one of many writers may win."""
    try:
        probe(place.bucket, f"{nonce}-conditions")
        for number in range(ROUNDS):
            winners = _race(place.bucket, f"{PROBE_PREFIX}{nonce}-race-{number}")
            if winners is not None:
                told = f"of {RACERS} that wrote one object at the same time {winners} were told that they won"
                return bad("conditional writes", told, OTHER_STORE)
    except BucketRefused as error:
        return bad("conditional writes", f"{error}", OTHER_STORE)
    except BucketError as error:
        return bad("conditional writes", f"not found out: {error}", "try again")
    return ok("conditional writes", f"create and replace hold; of {RACERS} writers at once exactly one wins")


def _race(bucket: Bucket, key: str) -> int | None:
    """How many won, if that was not exactly one, first of all creators and then of all replacers."""
    gate = threading.Barrier(RACERS)

    def compete(number: int, write: Callable[[bytes], object]) -> bool:
        gate.wait(RACE_LIMIT_S)
        try:
            write(b"%d" % number)
        except (Exists, Conflict, Unsure):
            return False
        return True

    try:
        with ThreadPoolExecutor(RACERS) as pool:
            made = list(pool.map(lambda n: compete(n, lambda body: bucket.create(key, body)), range(RACERS)))
            if sum(made) > 1:
                return sum(made)
            version = bucket.get(key).version
            over = list(
                pool.map(
                    lambda n: compete(n, lambda body: bucket.replace(key, b"2-" + body, version)),
                    range(RACERS),
                )
            )
            return sum(over) if sum(over) > 1 else None
    finally:
        _delete(bucket, key)


@dataclass(frozen=True)
class _Blocks:
    """Random bytes as a source; `breaks_at`: it fails there, as an agent's disk may."""

    block: bytes
    size: int = BIG_BYTES
    breaks_at: int | None = None

    def read(self, offset: int, length: int) -> bytes:
        if self.breaks_at is not None and offset + length > self.breaks_at:
            raise OSError("the source breaks off, as it was told to")
        first = offset // len(self.block)
        blocks = self.block * (length // len(self.block) + 2)
        return blocks[offset - first * len(self.block) :][:length]


def parts(place: Place, nonce: str, clock: CheckClock) -> Iterator[Finding]:
    """A big object in parts: it must come back whole, and half of one must never be seen."""
    bucket, key = place.bucket, f"{PROBE_PREFIX}{nonce}-parts"
    source = _Blocks(bytes.fromhex(clock.token(BLOCK_BYTES)))
    try:
        broken = _broken_off(bucket, f"{key}-broken", source.block)
        if broken:
            yield bad("upload in parts", broken, OTHER_STORE)
            return
        start_s = clock.monotonic_s()
        bucket.upload(key, source, lambda _done: None)
        sent_s = clock.monotonic_s()
        found = hashlib.sha256()
        for chunk in bucket.stream(key, 0, source.size):
            found.update(chunk)
        back_s = clock.monotonic_s()
    except BucketError as error:
        yield bad("upload in parts", f"{error}", place.rights)
        return
    finally:
        _delete(bucket, key)
    if found.digest() != hashlib.sha256(source.read(0, source.size)).digest():
        yield bad("upload in parts", "what comes back is not what was sent", OTHER_STORE)
        return
    yield ok("upload in parts", "comes back whole; one that broke off left nothing visible")
    yield _speed(sent_s - start_s, back_s - sent_s)


def _broken_off(bucket: Bucket, key: str, block: bytes) -> str:
    """What is wrong with an upload that broke off; "" when it left nothing."""
    try:
        bucket.upload(key, _Blocks(block, breaks_at=BIG_BYTES - 1), lambda _done: None)
    except OSError:
        if key not in {info.key for info in bucket.list(PROBE_PREFIX)}:
            return ""
    _delete(bucket, key)
    return "an upload that broke off left an object that looks whole"


def _speed(up_s: float, down_s: float) -> Finding:
    up_mb_s, down_mb_s = (BIG_BYTES / 1e6 / max(taken_s, 1e-3) for taken_s in (up_s, down_s))
    slower = min(up_mb_s, down_mb_s)
    minutes = 10_000 / slower / 60
    told = f"up {up_mb_s:.0f} MB/s, down {down_mb_s:.0f} MB/s: one file, from this machine"
    if slower >= SLOW_MB_S:
        return ok("throughput", told)
    mend = "keep the bucket in the region in which the machines run"
    return warn("throughput", f"{told}: a checkpoint of 10 GB takes {minutes:.0f} minutes", mend)


def space(place: Place) -> Finding:
    """Of a folder: whether it is one, and how much fits in."""
    if os.path.exists(place.name) and not os.path.isdir(place.name):
        return bad("space", f"{place.name} is a file", "name a folder")
    try:
        found = os.statvfs(place.name)
    except OSError as error:
        return bad("space", f"{place.name}: {error.strerror}", f"mkdir -p {quote(place.name)}, or mount it")
    free_gb = found.f_bavail * found.f_frsize / 1e9
    if free_gb < SPACE_GB_MIN:
        return warn(
            "space", f"{free_gb:.1f} GB free: one checkpoint may fill it", "free some, or use another disk"
        )
    return ok("space", f"{free_gb:.0f} GB free; only machines that have this folder can use it")


def _delete(bucket: Bucket, key: str) -> None:
    try:
        bucket.delete(key)
    except BucketError:
        return  # the check of the rights tells about it
