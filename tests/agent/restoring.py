"""A bucket with three checkpoints to restore, and the ways in which the newest can be damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.agent.bucket.make import Attempt
from tests.fakes.bucket import MemoryBucket
from tests.fakes.still import StillRuntime

from outlast.ports import Runtime
from outlast.protocol.objects import Pointer, data_prefix
from outlast.restore import FolderSink, Restored, restore_chain


class Place:
    """A bucket with three checkpoints, and a folder to restore into."""

    def __init__(self, tmp_path: Path) -> None:
        self.bucket = MemoryBucket()
        self.attempt = Attempt(self.bucket)
        self.attempt.claim()
        self.refs = [self.attempt.commit(step, files=self.content(step)) for step in (10, 20, 30)]
        self.staging, self.target = tmp_path / "staging", tmp_path / "checkpoints"
        self.sink = FolderSink(self.staging, lambda manifest: self.target / f"step-{manifest.step}")
        self.facts: list[tuple[str, str]] = []
        self.runtime: Runtime = StillRuntime()

    def content(self, step: int) -> dict[str, bytes]:
        return {"model": b"model %d " % step * 40, "sub/optimizer": b"optimizer %d" % step, "empty": b""}

    def key(self, step_index: int, path: str) -> str:
        return data_prefix(self.refs[step_index].name) + path

    def pointer(self) -> Pointer:
        found = self.attempt.owner.pointer
        assert found is not None
        return found

    def restore(self, found: Pointer | None = None) -> Restored | None:
        return restore_chain(
            self.runtime,
            self.bucket,
            found or self.pointer(),
            self.sink,
            lambda kind, why, data: self.facts.append((kind, why)),
        )

    def restored(self, found: Pointer | None = None) -> Restored:
        outcome = self.restore(found)
        assert outcome is not None
        folder = self.target / f"step-{outcome.ref.step}"
        files = {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}
        assert files == self.content(outcome.ref.step)
        assert [entry.name for entry in self.target.iterdir()] == [folder.name]
        return outcome


Damage = Callable[[Place], None]
DAMAGES: dict[str, Damage] = {
    "a flipped bit": lambda p: p.bucket.flip_bit(p.key(2, "model")),
    "a missing object": lambda p: p.bucket.delete(p.key(2, "sub/optimizer")),
    "a shorter object": lambda p: p.bucket.put(p.key(2, "model"), b"model"),
    "a longer object": lambda p: p.bucket.put(p.key(2, "empty"), b"not empty"),
    "other bytes of the same size": lambda p: p.bucket.put(p.key(2, "sub/optimizer"), b"optimizer 99"),
    "a flipped bit in the manifest": lambda p: p.bucket.flip_bit(p.refs[2].key),
    "a missing manifest": lambda p: p.bucket.delete(p.refs[2].key),
}
