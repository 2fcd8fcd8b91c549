"""Code, outputs and memory on the node's disk: what leads out of a folder is refused, by name."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest
import zstandard
from tests.fakes.bucket import MemoryBucket

from outlast.clock import SystemRuntime
from outlast.node.home import MEMORY, Home, HomeDisk, write_atomic
from outlast.node.logs import FileLog
from outlast.node.outputs import FolderOutputs
from outlast.node.setup import NodeWorkplace
from outlast.node_ports import NodeMemory, NodeTrouble
from outlast.protocol.messages import Work, WriterRef
from outlast.protocol.objects import code_key


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.prepare()
    return home


def packed(bucket: MemoryBucket, *members: tarfile.TarInfo) -> str:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    key = code_key(hashlib.sha256(body.getvalue()).hexdigest())
    bucket.create(key, zstandard.compress(body.getvalue()))
    return key


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o755
    info.size = 3 if kind == tarfile.REGTYPE else 0
    return info


def unpack(home: Home, *members: tarfile.TarInfo) -> Path:
    bucket = MemoryBucket()
    key = packed(bucket, *members)
    NodeWorkplace(home, bucket, FileLog(home.logs)).prepare(
        Work("n", "o", 1, "true", code=key), lambda: False
    )
    return home.work_dir(key)


def test_what_a_packer_writes_is_unpacked(home: Home) -> None:
    folder = unpack(
        home,
        member("a/run.sh"),
        member("empty", tarfile.DIRTYPE),
        member("a/link", tarfile.SYMTYPE, "run.sh"),
    )
    assert (folder / "a" / "link").read_text() == "xxx"
    assert (folder / "a" / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (folder / "empty").is_dir()


@pytest.mark.parametrize(
    "bad",
    [
        [member("../out")],
        [member("/abs")],
        [member("a", tarfile.SYMTYPE, "../../out")],
        [member("a", tarfile.SYMTYPE, "/etc")],
        [member("a", tarfile.SYMTYPE, "b"), member("a/x")],
        [member("dev", tarfile.CHRTYPE)],
        [member("f"), member("hard", tarfile.LNKTYPE, "f")],
    ],
    ids=["up", "absolute", "link-up", "link-absolute", "through-link", "device", "hard-link"],
)
def test_code_that_leads_out_is_refused(home: Home, bad: list[tarfile.TarInfo]) -> None:
    with pytest.raises(NodeTrouble) as caught:
        unpack(home, *bad)
    assert (caught.value.phase, caught.value.fatal) == ("code", True)


def test_code_that_is_not_there_is_told(home: Home) -> None:
    workplace = NodeWorkplace(home, MemoryBucket(), FileLog(home.logs))
    with pytest.raises(NodeTrouble, match="not in the bucket"):
        workplace.prepare(Work("n", "o", 1, "true", code=code_key("0" * 64)), lambda: False)


def test_a_setup_that_is_called_off_ends_with_its_tree(home: Home) -> None:
    workplace = NodeWorkplace(home, MemoryBucket(), FileLog(home.logs))
    with pytest.raises(NodeTrouble, match="called off"):
        workplace.prepare(Work("n", "o", 1, "true", setup="setsid sleep 1000 & sleep 1000"), lambda: True)


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "link/x", "beside/x"])
def test_an_output_that_leads_out_is_refused(tmp_path: Path, path: str) -> None:
    root = tmp_path / "work"
    for folder in (root, tmp_path / "work-of-another"):
        folder.mkdir()
    (root / "link").symlink_to(tmp_path)
    (root / "beside").symlink_to(tmp_path / "work-of-another")
    outputs = FolderOutputs(SystemRuntime(), lambda: root)
    with pytest.raises(NodeTrouble, match="leads out"):
        outputs.write(path, [b"x"])


def test_outputs_are_found_by_pattern_and_a_folder_means_all_in_it(tmp_path: Path) -> None:
    for name in ("a.csv", "b.txt", "runs/x/events", "final/model.bin"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    outputs = FolderOutputs(SystemRuntime(), lambda: tmp_path)
    found = outputs.scan(("*.csv", "runs", "final/**", "../*"), quiet=False)
    assert [file.path for file in found] == ["a.csv", "final/model.bin", "runs/x/events"]
    assert outputs.scan(("*.csv",), quiet=True) == ()


def test_what_must_outlive_the_process_does(home: Home) -> None:
    memory = NodeMemory(3, 0, "a3", "l-1-x", (WriterRef(2, "l-1-y"),))
    HomeDisk(home).save(memory)
    assert HomeDisk(home).load() == memory
    (home.root / MEMORY).write_text("garbage")
    with pytest.raises(NodeTrouble, match=MEMORY):
        HomeDisk(home).load()


def test_lines_are_shipped_once_also_by_the_next_life(home: Home) -> None:
    log = FileLog(home.logs)
    log.say("one")
    line = log.peek(1000)
    log.shipped(len(line))
    again = FileLog(home.logs)
    assert again.peek(1000) == b""
    again.say("two")
    assert again.peek(1000) == b"[outlast] two\n"


def test_what_was_not_written_to_its_end_leaves_nothing(home: Home) -> None:
    (home.root / MEMORY).mkdir()
    with pytest.raises(NodeTrouble):
        HomeDisk(home).save(NodeMemory())
    assert list(home.root.glob(".*")) == []
    attempt = home.attempt_dir(3)
    attempt.mkdir()
    write_atomic(attempt / "save-request.json", b"{}")
    for folder in (home.root, home.setups, attempt):
        (folder / ".name.4711.new").write_bytes(b"half")  # of a process that was killed
    home.sweep()
    assert list(home.root.rglob("*.new")) == []
    assert (attempt / "save-request.json").exists()
