"""Brings a kept environment to this node: looked for, fetched, verified, unpacked beside, and renamed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from outlast.bucket.environments import BadEnvironment, Record, others, read_record
from outlast.environment.ground import ASK_LIMIT_S, Ground, difference
from outlast.environment.unpacking import Unpacker
from outlast.environment.venv import interpreter
from outlast.fetch import FetchCancelled, Unusable, fetch_pieces, pieces
from outlast.ports import Bucket, BucketError, Runtime

LANES = 4  # each holds a pack, packed and unpacked
ROOM_BYTES = 256 << 20  # for everybody else on the disk
TOLD_PARTS = 20  # how often its progress is told


class NotBrought(Exception):
    """The environment has to be made here; the message says why. `damaged`: it never can be used."""

    def __init__(self, why: str, *, damaged: bool = False) -> None:
        super().__init__(why)
        self.damaged = damaged


def find(bucket: Bucket, owner: str, digest: str, ground: Ground, root: str) -> Record | None:
    """None: nothing is kept yet. Raises NotBrought."""
    try:
        record = read_record(bucket, owner, digest)
        found = [] if record is not None else others(bucket, owner, digest)
    except BadEnvironment as error:
        raise NotBrought(str(error), damaged=True) from error
    except BucketError as error:
        raise NotBrought(str(error)) from error
    if found:
        made_for = found[0].made_for
        why = difference(made_for, {**ground.words(), "folder": root})
        raise NotBrought(
            f"what is kept does not fit: {why or 'it was made from another install, setup or code'}"
        )
    return record


def bring(
    runtime: Runtime,
    bucket: Bucket,
    record: Record,
    folder: Path,
    cancelled: Callable[[], bool],
    moved: Callable[[int], None],
) -> None:
    """`folder` is there, whole, on return; or nothing of it is. Raises NotBrought, FetchCancelled."""
    fresh = folder.with_name(f".{folder.name}.new")
    try:
        _unpack(runtime, bucket, record, fresh, cancelled, moved)
        os.replace(fresh, folder)
        _try_out(folder)
    except Unusable as error:
        raise NotBrought(str(error), damaged=True) from error
    except (BucketError, OSError) as error:
        raise NotBrought(str(error)) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _unpack(
    runtime: Runtime,
    bucket: Bucket,
    record: Record,
    fresh: Path,
    cancelled: Callable[[], bool],
    moved: Callable[[int], None],
) -> None:
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    free = shutil.disk_usage(fresh).free
    if free < record.bytes + ROOM_BYTES:
        raise NotBrought(
            f"it needs {record.bytes >> 20} MiB, and {free >> 20} MiB are free in {fresh.parent}"
        )
    unpacker = Unpacker(fresh, moved)
    wanted = [piece for pack in record.packs for piece in pieces(pack, may_be_there=False)]
    fetch_pieces(runtime, bucket, wanted, unpacker, LANES, cancelled)
    if cancelled():
        raise FetchCancelled("called off")
    unpacker.finish(record)


def _try_out(folder: Path) -> None:
    """Raises NotBrought, and takes it away again."""
    command = [str(interpreter(folder)), "-I", "-c", "import site"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=ASK_LIMIT_S, check=False)
        why = f"its Python ends with code {done.returncode}" if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        why = f"its Python does not start: {error}"
    if why:
        shutil.rmtree(folder, ignore_errors=True)
        raise NotBrought(why)


class Progress:
    """Adds up what arrives, and says a line now and then."""

    def __init__(self, record: Record, say: Callable[[str], None]) -> None:
        self._total = record.bytes
        self._say = say
        self._done = 0
        self._told = -1

    def __call__(self, more: int) -> None:
        self._done += more
        part = self._done * TOLD_PARTS // max(self._total, 1)
        if part != self._told:
            self._told = part
            self._say(f"restoring the environment, {self._done / 1e9:.1f} of {self._total / 1e9:.1f} GB")
