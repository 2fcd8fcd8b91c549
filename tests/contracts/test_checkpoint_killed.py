"""Killed at every part of an upload, the checkpoint before is whole, and the next one becomes so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.agent.bucket.make import me
from tests.agent.save.copies import stable
from tests.contracts.test_bucket_killed import place

from outlast.bucket.client import open_bucket, scoped
from outlast.bucket.outcomes import Applied
from outlast.bucket.owner import PointerOwner
from outlast.bucket.transfer import PART_BYTES
from outlast.clock import SystemRuntime
from outlast.ports import Bucket
from outlast.protocol.messages import Permission
from outlast.protocol.objects import Pointer, checkpoint_name
from outlast.restore import FolderSink, restore_chain
from outlast.save.upload import upload

__all__ = ["place"]  # the fixture: a bucket of every kind, for another process

PREFIX = "jobs/job-1"
BIG_BYTES = 2 * PART_BYTES + 1_000
READS = 4  # of a checkpoint: three parts of one file, and a small one
READ_LIMIT_S = 60

# Uploads a folder as the agent does, and stands still for ever at the read that it is told.
UPLOADER = """
import json, sys, threading
from dataclasses import replace
from pathlib import Path
from tests.agent.save.copies import stable
from outlast.bucket.client import open_bucket, scoped
from outlast.clock import SystemRuntime
from outlast.save.upload import upload

url, options, prefix, folder, name, stop_at = json.loads(sys.argv[1])
reads = 0

class Stopping:
    def __init__(self, source):
        self.source, self.size = source, source.size
    def read(self, offset, length):
        global reads
        if reads == stop_at:
            print("stands still", flush=True)
            threading.Event().wait()
        reads += 1
        return self.source.read(offset, length)

copy = stable(Path(folder), 2)
copy = replace(copy, files=tuple(replace(file, source=Stopping(file.source)) for file in copy.files))
bucket = scoped(open_bucket(url, options=options), prefix)
upload(bucket, SystemRuntime(), copy, name, None, lambda done, total: None)
print("not reached", flush=True)
"""


def _folder(root: Path, step: int) -> dict[str, bytes]:
    files = {"a-big": os.urandom(BIG_BYTES), "small": b"step %d" % step}
    root.mkdir()
    for name, body in files.items():
        (root / name).write_bytes(body)
    return files


def _save(bucket: Bucket, owner: PointerOwner, folder: Path, step: int, nonce: str) -> Pointer:
    name = checkpoint_name(step, 1, nonce)
    draft = upload(bucket, SystemRuntime(), stable(folder, step), name, None, lambda done, total: None)
    outcome = owner.commit(draft)
    assert isinstance(outcome, Applied), outcome
    return outcome.pointer


def _restored(bucket: Bucket, pointer: Pointer, folder: Path) -> dict[str, bytes]:
    sink = FolderSink(folder / "staging", lambda manifest: folder / "checkpoint")
    told: list[str] = []
    done = restore_chain(SystemRuntime(), bucket, pointer, sink, lambda kind, why, data: told.append(why))
    assert done is not None
    assert told == []
    return {path.name: path.read_bytes() for path in (folder / "checkpoint").iterdir()}


def test_killed_at_every_part_the_one_before_is_resumed_and_the_next_try_is_whole(
    place: tuple[str, Mapping[str, str]],  # pytest gives the fixture
    tmp_path: Path,
) -> None:
    url, options = place
    bucket = scoped(open_bucket(url, options=options), PREFIX)
    owner = PointerOwner(SystemRuntime(), bucket, me(), lambda *fact: None, keep=2)
    assert isinstance(owner.claim(Permission()), Applied)
    first = _folder(tmp_path / "1", 1)
    second = _folder(tmp_path / "2", 2)
    before = _save(bucket, owner, tmp_path / "1", 1, "aa")
    for stop_at in range(READS):
        name = checkpoint_name(2, 1, f"b{stop_at}")
        told = json.dumps([url, dict(options), PREFIX, str(tmp_path / "2"), name, stop_at])
        uploader = subprocess.Popen([sys.executable, "-c", UPLOADER, told], stdout=subprocess.PIPE)
        try:
            assert uploader.stdout is not None
            assert uploader.stdout.readline() == b"stands still\n"
        finally:
            uploader.send_signal(signal.SIGKILL)
            uploader.communicate(timeout=READ_LIMIT_S)
    assert _restored(bucket, before, tmp_path / "old") == first
    after = _save(bucket, owner, tmp_path / "2", 2, "cc")
    assert _restored(bucket, after, tmp_path / "new") == second
