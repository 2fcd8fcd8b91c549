"""The packed folder: the same content has the same name, .gitignore holds, and nothing leads outside."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import socket
import subprocess
import tarfile
from pathlib import Path

import pytest
import zstandard

from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.jobfile import pack
from outlast_orchestrator.jobfile.load import JobFile, load_values
from outlast_orchestrator.jobfile.pack import Packed, pack_workdir


def _jobfile(folder: Path, run: str = "true", workdir: str | None = None) -> JobFile:
    return load_values({"run": run, **({"workdir": workdir} if workdir else {})}, "test", folder)


def _pack(folder: Path, run: str = "true", workdir: str | None = None) -> Packed:
    packed = pack_workdir(_jobfile(folder, run, workdir))
    assert packed is not None
    return packed


def _tar(packed: Packed) -> bytes:
    return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed.body)).read()


def _members(packed: Packed) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(_tar(packed))) as tar:
        return {member.name: member for member in tar}


def _tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


FILES = {"train.py": "print(1)\n", "lib/a.py": "a", "lib/b.py": "b", "z": "", "ü/ß.txt": "x"}


def test_the_same_content_has_the_same_name_wherever_and_whenever_it_was_packed(tmp_path: Path) -> None:
    one = _tree(tmp_path / "one", FILES)
    two = _tree(tmp_path / "elsewhere" / "two", dict(reversed(FILES.items())))
    for path in two.rglob("*"):
        os.utime(path, (1, 1))
        if path.is_file():
            path.chmod(0o600)
    assert _pack(one).digest == _pack(two).digest
    assert _pack(one).body == _pack(two).body
    (two / "lib/a.py").write_text("A")
    assert _pack(one).digest != _pack(two).digest


def test_the_name_is_known_beforehand(tmp_path: Path) -> None:
    """A golden value: the name must not depend on the machine, the library or the Python version."""
    folder = _tree(tmp_path / "code", FILES)
    (folder / "train.py").chmod(0o755)
    (folder / "latest").symlink_to("lib/a.py")
    (folder / "empty").mkdir()
    packed = _pack(folder)
    assert packed.digest == "dbb8812db73b4daeed334fd00e6ddda78b45875d0c4b6bb1fdfe5709bee41f8c"
    assert packed.key == f"code/{packed.digest}"
    assert hashlib.sha256(_tar(packed)).hexdigest() == packed.digest
    assert (packed.files, packed.bytes) == (6, 12)


def test_what_an_archive_guarantees_to_the_agent(tmp_path: Path) -> None:
    folder = _tree(tmp_path / "code", FILES)
    (folder / "z").chmod(0o700)
    (folder / "link").symlink_to("lib")
    (folder / "empty" / "deep").mkdir(parents=True)
    members = _members(_pack(folder))
    assert list(members) == sorted(members, key=str.encode)
    assert set(members) == {*FILES, "link", "empty/deep"}
    for member in members.values():
        assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
        assert member.isfile() or member.issym() or member.isdir()
    assert (members["z"].mode, members["train.py"].mode) == (0o755, 0o644)
    assert members["link"].linkname == "lib"


def test_gitignore_holds_as_in_git(tmp_path: Path) -> None:
    names = [
        "keep.py", "data/big.bin", "a.log", "keep.log", "sub/a.log", "sub/special.log", "sub/tmp/x",
        "sub/only-here", "only-here", "deep/er/build/x", "build.txt", "dir/inside", "__pycache__/a.pyc",
    ]  # fmt: skip
    folder = _tree(tmp_path, dict.fromkeys(names, "x"))
    ignore = "# comment\n*.log\n!keep.log\n/data\nbuild/\n**/tmp\ndir/*\n!dir/inside\n"
    _tree(folder, {".gitignore": ignore, "sub/.gitignore": "!special.log\n/only-here\n"})
    _git(folder, "init", "-q")
    listed = _git(folder, "ls-files", "--others", "--exclude-standard").splitlines()
    expected = {name for name in listed if "__pycache__" not in name}
    assert set(_members(_pack(folder))) == expected
    assert "keep.log" in expected
    assert "data/big.bin" not in expected


def test_the_gitignore_of_the_repository_holds_in_its_folders(tmp_path: Path) -> None:
    repository = _tree(tmp_path / "repo", {".gitignore": "*.bin\n", "job/a.bin": "x", "job/a.py": "x"})
    assert set(_members(_pack(repository / "job"))) == {"a.bin", "a.py"}
    _git(repository, "init", "-q")
    assert set(_members(_pack(repository / "job"))) == {"a.py"}


def test_checkpoints_virtual_envs_and_repositories_are_never_packed(tmp_path: Path) -> None:
    names = ["a.py", "checkpoints/1.pt", "my-env/pyvenv.cfg", "my-env/bin/python", ".git/config", "x/.hg/y"]
    folder = _tree(tmp_path, dict.fromkeys(names, "x"))
    assert set(_members(_pack(folder))) == {"a.py"}


@pytest.mark.parametrize("target", ["../outside", "/etc/passwd", "sub/../../outside", ".."])
def test_a_link_that_leads_outside_is_refused(tmp_path: Path, target: str) -> None:
    folder = _tree(tmp_path / "code", {"sub/a": "x"})
    (folder / "link").symlink_to(target)
    with pytest.raises(UserError, match="the link link points outside the working folder") as raised:
        _pack(folder)
    assert "\n" not in str(raised.value)
    (folder / ".gitignore").write_text("link\n")
    assert set(_members(_pack(folder))) == {".gitignore", "sub/a"}


def test_a_link_to_a_link_cannot_lead_outside(tmp_path: Path) -> None:
    folder = _tree(tmp_path / "code", {"a/b/c": "x"})
    (folder / "deep").symlink_to("a/b")
    (folder / "out").symlink_to("deep/../../../secret")
    with pytest.raises(UserError, match="points outside"):
        _pack(folder)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "s"))
        with pytest.raises(UserError, match="is neither a file nor a folder nor a link"):
            _pack(tmp_path)


def test_names_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))).touch()
    with pytest.raises(UserError, match="is not UTF-8; rename it"):
        _pack(tmp_path)


def test_too_much_is_refused_and_the_biggest_are_named(tmp_path: Path) -> None:
    _tree(tmp_path, {"small": "x", "data/b": ""})
    with (tmp_path / "data" / "b").open("r+b") as file:
        file.truncate(pack.PACK_BYTES_MAX)
    with pytest.raises(
        UserError, match=r"too much .*limit 256 MiB.*the biggest: data \(256 MiB\), small"
    ) as told:
        _pack(tmp_path)
    assert "\n" not in str(told.value)


def test_a_script_that_is_ignored_is_told_at_once(tmp_path: Path) -> None:
    folder = _tree(tmp_path, {"train.py": "x", ".gitignore": "*.py\n"})
    with pytest.raises(UserError, match=r"train\.py, which run starts, is not packed; mend \.gitignore"):
        _pack(folder, run="python train.py")


def test_an_unreadable_gitignore_is_told(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"\.gitignore: can't be read"):
        _pack(tmp_path)


def test_no_workdir_no_pack(tmp_path: Path) -> None:
    assert pack_workdir(_jobfile(tmp_path, workdir="none")) is None


def test_a_commit_is_packed_as_it_was(tmp_path: Path) -> None:
    repository = _tree(tmp_path / "repo", FILES)
    (repository / "link").symlink_to("z")
    (repository / "train.py").chmod(0o755)
    _git(repository, "init", "-q")
    _git(repository, "add", ".")
    _git(repository, "commit", "-qm", "one")
    commit = _git(repository, "rev-parse", "HEAD")
    copy = tmp_path / "copy"
    shutil.copytree(repository, copy, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    (repository / "train.py").write_text("changed since\n")

    local = _pack(tmp_path, "python train.py", f"repo@{commit}")
    remote = _pack(tmp_path, "python train.py", f"file://{repository}@{commit[:12]}")
    assert local.digest == remote.digest == _pack(copy).digest

    with pytest.raises(UserError, match=r"other\.py, which run starts, is not packed"):
        _pack(tmp_path, "python other.py", f"repo@{commit}")
    with pytest.raises(UserError, match="there is no such commit; check the address"):
        _pack(tmp_path, "true", "repo@0000000")
    with pytest.raises(UserError, match="check the address, your rights and the commit"):
        _pack(tmp_path, "true", f"file://{tmp_path}/nowhere.git@0000000")
