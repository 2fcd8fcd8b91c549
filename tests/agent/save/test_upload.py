"""The upload: every byte hashed, unchanged files named again, resumable, cancelled between parts."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import xxhash
from tests.agent.save.copies import stable
from tests.agent.save.fake_bucket import MemoryBucket

from outlast.clock import SystemRuntime
from outlast.ports import BucketError, Unsure, UploadCancelled
from outlast.protocol.objects import Confidence, FileEntry, Manifest, ManifestRef
from outlast.save.sources import SourceChanged
from outlast.save.types import Draft, StableCopy, StableFile
from outlast.save.upload import Limits, upload

NAME = "000000007-g2-abcd"
RUNTIME = SystemRuntime()


def fill(folder: Path, **files: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    for name, body in files.items():
        (folder / name).write_bytes(body)
    return folder


def send(bucket: MemoryBucket, copy: StableCopy, name: str = NAME, **options: object) -> Draft:
    base = options.pop("base", None)
    return upload(bucket, RUNTIME, copy, name, base, lambda done, total: None, **options)  # type: ignore[arg-type]


def manifest_of(draft: Draft) -> tuple[ManifestRef, Manifest]:
    manifest = Manifest(
        1, "o", "j", 1, "a", draft.name, draft.step, "", 1, draft.kind, Confidence.STRONG, draft.files
    )
    return ManifestRef(f"manifests/{draft.name}.json", "h", draft.step), manifest


@pytest.mark.parametrize("parallel", [1, 4])
def test_every_file_lies_under_the_checkpoints_name_with_its_hash(tmp_path: Path, parallel: int) -> None:
    bodies = {f"f{n}": os.urandom(n * 700) for n in range(9)}
    (tmp_path / "c" / "deep").mkdir(parents=True)
    (tmp_path / "c" / "deep" / "x").write_bytes(b"x")
    bucket, seen = MemoryBucket(), []
    copy = stable(fill(tmp_path / "c", **bodies), 7)
    draft = upload(
        bucket, RUNTIME, copy, NAME, None, lambda done, total: seen.append((done, total)), parallel=parallel
    )
    assert [file.path for file in draft.files] == [file.path for file in copy.files]
    for entry in draft.files:
        body = bucket.objects[entry.key]
        assert entry.key == f"checkpoints/{NAME}/{entry.path}"
        assert entry.hash == f"xxh3-128:{xxhash.xxh3_128(body).hexdigest()}"
        assert len(body) == entry.size
    assert bucket.objects[f"checkpoints/{NAME}/f8"] == bodies["f8"]
    assert draft.base is None
    assert seen[-1] == (copy.bytes, copy.bytes)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_unchanged_files_name_the_bases_object_and_same_size_alone_is_not_enough(tmp_path: Path) -> None:
    bucket = MemoryBucket()
    first = send(
        bucket, stable(fill(tmp_path / "a", frozen=b"f" * 3000, moving=b"1" * 2000)), "000000001-g1-aa"
    )
    base = manifest_of(first)
    bucket.uploads.clear()
    second = send(bucket, stable(fill(tmp_path / "b", frozen=b"f" * 3000, moving=b"2" * 2000)), base=base)
    assert bucket.uploads == [f"checkpoints/{NAME}/moving"]
    assert {e.path: e.key for e in second.files}["frozen"] == "checkpoints/000000001-g1-aa/frozen"
    assert second.base == base[0]
    third = send(bucket, stable(fill(tmp_path / "c", moving=b"3" * 2000)), "000000009-g2-cc", base=base)
    assert third.base is None, "nothing of the base is named"


def with_hash(copy: StableCopy, digest: str) -> StableCopy:
    return replace(copy, files=tuple(replace(file, hash=digest) for file in copy.files))


def test_the_hash_that_its_writer_noted_saves_a_look_and_is_checked(tmp_path: Path) -> None:
    """The same hash: named again once the bytes are seen to be the same. Another: sent without a look."""
    bucket = MemoryBucket()
    copy = stable(fill(tmp_path / "a", frozen=b"f" * 3000))
    base = manifest_of(send(bucket, copy, "000000001-g1-aa"))
    noted = base[1].files[0].hash
    again = send(bucket, with_hash(copy, noted), base=base)
    assert again.files == base[1].files
    changed = stable(fill(tmp_path / "b", frozen=b"g" * 3000))
    with pytest.raises(SourceChanged, match="not what was written"):
        send(bucket, with_hash(changed, noted), base=base)
    with pytest.raises(SourceChanged, match="not what was written"):
        send(bucket, with_hash(changed, noted), "000000003-g1-cc")
    own = f"xxh3-128:{xxhash.xxh3_128(b'g' * 3000).hexdigest()}"
    (entry,) = send(bucket, with_hash(changed, own), "000000004-g1-dd", base=base).files
    assert (entry.key, entry.hash) == ("checkpoints/000000004-g1-dd/frozen", own)


@pytest.mark.parametrize("parallel", [1, 3])
def test_after_an_error_only_what_is_missing_is_sent(tmp_path: Path, parallel: int) -> None:
    bucket, done = MemoryBucket(), dict[str, FileEntry]()

    def fail(key: str, offset: int) -> None:
        if key.endswith("b") and offset >= 2000:
            raise Unsure(f"{key}: time-out")

    bucket.fail = fail
    copy = stable(fill(tmp_path / "c", a=b"a" * 1000, b=b"b" * 5000, c=b"c" * 6000))
    with pytest.raises(Unsure):
        send(bucket, copy, done=done, parallel=parallel)
    assert "b" not in done
    before = list(bucket.uploads)
    bucket.fail = lambda key, offset: None
    draft = send(bucket, copy, done=done, parallel=parallel)
    assert sorted(bucket.uploads) == sorted({*before, *(entry.key for entry in draft.files)})
    assert len(bucket.uploads) == 3, "no file was sent twice"
    assert bucket.objects[f"checkpoints/{NAME}/b"] == b"b" * 5000


def test_a_lost_reply_is_no_second_upload(tmp_path: Path) -> None:
    bucket, done = MemoryBucket(), dict[str, FileEntry]()
    copy = stable(fill(tmp_path / "c", a=b"a" * 1500))
    bucket.lose_reply.add(f"checkpoints/{NAME}/a")
    with pytest.raises(BucketError):
        send(bucket, copy, done=done)
    (entry,) = send(bucket, copy, done=done).files
    assert entry.hash == f"xxh3-128:{xxhash.xxh3_128(b'a' * 1500).hexdigest()}"
    assert len(bucket.uploads) == 1


def test_what_was_named_again_is_decided_anew_when_the_base_moved(tmp_path: Path) -> None:
    bucket, done = MemoryBucket(), dict[str, FileEntry]()
    copy = stable(fill(tmp_path / "c", frozen=b"f" * 3000))
    base = manifest_of(send(bucket, copy, "000000001-g1-aa"))
    assert send(bucket, copy, base=base, done=done).base == base[0]
    draft = send(bucket, copy, base=None, done=done)
    assert draft.base is None
    assert draft.files[0].key == f"checkpoints/{NAME}/frozen"


@pytest.mark.parametrize("parallel", [1, 2])
def test_cancelled_between_parts_nothing_half_is_visible(tmp_path: Path, parallel: int) -> None:
    bucket, asked = MemoryBucket(), []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(UploadCancelled):
        send(bucket, stable(fill(tmp_path / "c", a=b"a" * 9000, b=b"b" * 9000)),
             limits=Limits(cancelled), parallel=parallel)  # fmt: skip
    assert bucket.objects == {}


class Shuffled(MemoryBucket):
    """A client that reads parts ahead, out of order, and some of them twice."""

    def upload(self, key: str, source: object, wrote: object) -> None:
        size = source.size  # type: ignore[attr-defined]
        parts = {o: source.read(o, min(700, size - o)) for o in reversed(range(0, size, 700))}  # type: ignore[attr-defined]
        parts |= {o: source.read(o, min(700, size - o)) for o in range(0, size // 2, 700)}  # type: ignore[attr-defined]
        self.objects[key] = b"".join(parts[offset] for offset in sorted(parts))


def test_the_hash_is_right_in_whatever_order_the_client_reads(tmp_path: Path) -> None:
    body = os.urandom(10_001)
    (entry,) = send(Shuffled(), stable(fill(tmp_path / "c", a=body))).files
    assert entry.hash == f"xxh3-128:{xxhash.xxh3_128(body).hexdigest()}"


@pytest.mark.parametrize("path", ["../a", "/a", "a//b", "", "a/./b"])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, path: str) -> None:
    copy = stable(fill(tmp_path / "c", a=b"a"))
    with pytest.raises(ValueError, match="relative path"):
        send(MemoryBucket(), replace(copy, files=(StableFile(path, copy.files[0].source),)))
