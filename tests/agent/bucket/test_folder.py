"""What a folder needs beyond the common suite: durability, litter, locks, full and read-only disks."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from outlast.bucket import folder as folder_module
from outlast.bucket.folder import OWN_FOLDER, FolderBucket
from outlast.ports import Conflict, Denied, Exists, Missing, Unsure

LIMIT_S = 60.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "bucket"
    root.mkdir()
    return root


@dataclass(frozen=True)
class Zeros:
    size: int

    def read(self, offset: int, length: int) -> bytes:
        return bytes(length)


def litter(root: Path) -> list[str]:
    return sorted(path.name for path in (root / OWN_FOLDER / "unfinished").iterdir())


def test_equal_bytes_are_different_versions(root: Path) -> None:
    """Content alone would let a writer replace what it never read (A, B, A again)."""
    bucket = FolderBucket(str(root))
    first = bucket.create("latest.json", b"A")
    second = bucket.replace("latest.json", b"B", first)
    third = bucket.replace("latest.json", b"A", second)
    assert len({first, second, third}) == 3
    with pytest.raises(Conflict):
        bucket.replace("latest.json", b"C", first)


def test_a_clock_that_went_back_makes_no_version_twice(root: Path) -> None:
    bucket = FolderBucket(str(root))
    bucket.create("latest.json", b"A")
    future_ns = 4_000_000_000_000_000_000
    os.utime(root / "latest.json", ns=(future_ns, future_ns))
    before = bucket.get("latest.json").version
    after = bucket.replace("latest.json", b"A", before)
    assert after != before
    assert (root / "latest.json").stat().st_mtime_ns > future_ns


def test_objects_are_plain_files_and_nothing_else_is_listed(root: Path) -> None:
    bucket = FolderBucket(str(root))
    bucket.upload("checkpoints/a/model", Zeros(3), lambda done: None)
    bucket.put("status/g1-r0.json", b"{}")
    assert (root / "checkpoints/a/model").read_bytes() == bytes(3)
    assert [info.key for info in bucket.list("")] == ["checkpoints/a/model", "status/g1-r0.json"]
    assert litter(root) == []


def test_the_buckets_own_folder_holds_no_objects(root: Path) -> None:
    bucket = FolderBucket(str(root))
    with pytest.raises(Denied, match="not allowed"):
        bucket.get(f"{OWN_FOLDER}/x")
    with pytest.raises(Denied, match="not allowed"):
        bucket.put(f"{OWN_FOLDER}/x", b"")


def test_emptied_folders_go_and_writers_make_them_anew(root: Path) -> None:
    bucket = FolderBucket(str(root))
    bucket.create("a/b/c/one", b"")
    bucket.create("a/two", b"")
    bucket.delete("a/b/c/one")
    assert not (root / "a/b").exists()
    bucket.create("a/b/c/one", b"again")
    assert bucket.get("a/b/c/one").body == b"again"


def test_an_object_and_a_folder_cannot_share_a_name(root: Path) -> None:
    bucket = FolderBucket(str(root))
    bucket.create("a/b", b"")
    with pytest.raises(Missing):
        bucket.get("a")
    with pytest.raises((Denied, Exists)):
        bucket.create("a", b"")
    with pytest.raises(Denied, match="used otherwise"):
        bucket.put("a", b"")
    with pytest.raises(Denied, match="used otherwise"):
        bucket.create("a/b/c", b"")


def test_links_in_the_folder_lead_nowhere(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("x")
    (root / "loop").symlink_to(root)
    (root / "out").symlink_to(tmp_path / "outside")
    assert list(FolderBucket(str(root)).list("")) == []


WRITER = """
    import os, signal, sys
    from outlast.bucket.folder import FolderBucket
    class Endless:
        size = 64 << 20
        def read(self, offset, length):
            if offset:
                print("writing", flush=True)
                signal.pause()
            return bytes(length)
    FolderBucket(sys.argv[1]).upload("checkpoints/a/model", Endless(), lambda done: None)
"""


def test_a_writer_that_is_killed_leaves_no_object_and_its_litter_is_swept(root: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        assert list(FolderBucket(str(root)).list("")) == []
        FolderBucket(str(root)).put("other", b"")
        assert len(litter(root)) == 1, "the litter of a living writer is not litter"
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait(LIMIT_S)
    FolderBucket(str(root)).put("other", b"")
    assert litter(root) == []
    assert [info.key for info in FolderBucket(str(root)).list("")] == ["other"]


HOLDER = """
    import fcntl, os, signal, sys
    for name in os.listdir(sys.argv[1]):
        fcntl.flock(os.open(os.path.join(sys.argv[1], name), os.O_RDWR), fcntl.LOCK_EX)
    print("locked", flush=True)
    signal.pause()
"""


def test_a_lock_ends_with_its_holder_and_not_with_its_file(root: Path) -> None:
    bucket = FolderBucket(str(root))
    version = bucket.replace("latest.json", b"2", bucket.create("latest.json", b"1"))
    command = [sys.executable, "-c", textwrap.dedent(HOLDER), str(root / OWN_FOLDER / "locks")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait(LIMIT_S)
    assert len(list((root / OWN_FOLDER / "locks").iterdir())) == 1
    bucket.replace("latest.json", b"3", version)


def test_a_holder_that_is_frozen_is_a_doubt_and_not_a_hang(root: Path) -> None:
    bucket = FolderBucket(str(root), lock_tries=3)
    version = bucket.replace("latest.json", b"2", bucket.create("latest.json", b"1"))
    (lock,) = (root / OWN_FOLDER / "locks").iterdir()
    with lock.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Unsure, match="does not let go"):
            bucket.replace("latest.json", b"3", version)
    assert bucket.get("latest.json").body == b"2"
    bucket.replace("latest.json", b"3", version)


def _run(script: str, root: Path) -> str:
    command = [sys.executable, "-c", textwrap.dedent(script), str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_full_disk_is_told_and_leaves_nothing(root: Path) -> None:
    """A limit on the size of files stands for the disk: the kernel refuses the write in the middle."""
    out = _run(
        """
        import resource, signal, sys
        from outlast.bucket.folder import FolderBucket
        from outlast.ports import Unsure
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            FolderBucket(sys.argv[1]).create("big", bytes(5000))
        except Unsure as error:
            sys.stdout.write(str(error))
        """,
        root,
    )
    assert "big: could not create" in out
    assert list(FolderBucket(str(root)).list("")) == []
    assert litter(root) == []


def test_a_folder_without_rights_is_denied_and_says_so(root: Path) -> None:
    root.chmod(0o555)
    out = _run(
        """
        import os, sys
        from outlast.bucket.folder import FolderBucket
        from outlast.ports import Denied
        os.chdir(sys.argv[1])
        if os.geteuid() == 0:
            os.setegid(65534)
            os.seteuid(65534)
        try:
            FolderBucket(".").create("latest.json", b"")
        except Denied as error:
            sys.stdout.write(str(error))
        """,
        root,
    )
    root.chmod(0o755)
    assert "latest.json: could not create: Permission denied; is . writable for this user?" in out


def test_the_limits_are_what_the_text_says() -> None:
    assert pytest.approx(10.0) == folder_module.LOCK_TRIES * folder_module.LOCK_POLL_S
