"""The agent's archive: whole, made once, for the node's Python and not for ours."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from outlast_orchestrator.remote.bundle import CODE, PACKAGES, Bundles, BundleTrouble, own_target

NEEDS = ("greeting>=1",)


def wheel(folder: Path, tag: str, body: str) -> None:
    """A package of one module, for one kind of machine."""
    folder.mkdir(exist_ok=True)
    about = "greeting-1.0.dist-info"
    with zipfile.ZipFile(folder / f"greeting-1.0-{tag}.whl", "w") as file:
        file.writestr("greeting.py", body)
        file.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
        file.writestr(f"{about}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
        file.writestr(f"{about}/RECORD", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that pip can find: nothing comes over a network."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def unpacked(file: Path, folder: Path) -> Path:
    with tarfile.open(file) as archive:
        archive.extractall(folder, filter="data")
    return folder


def test_an_agent_for_this_python_starts_without_anything_else(tmp_path: Path) -> None:
    bundle = Bundles(tmp_path / "kept").of(own_target())
    folder = unpacked(bundle.file, tmp_path / "there")
    assert not list(folder.rglob("*.pyc")), "nothing that was compiled here"
    command = [sys._base_executable, "-I", "-S", str(folder)]  # type: ignore[attr-defined]
    said = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True, cwd="/")
    assert said.stdout.startswith("outlast ")
    missing = subprocess.run([*command, "--config", "nowhere"], capture_output=True, text=True, check=False)
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)


def test_it_is_made_once_and_its_name_tells_what_is_in_it(tmp_path: Path, index: Path) -> None:
    for python in ("310", "312"):
        wheel(index, f"cp{python}-cp{python}-manylinux_2_28_x86_64", f"FOR = '{python}'\n")
    bundles = Bundles(tmp_path / "kept", NEEDS)
    target = replace(own_target(), machine="x86_64")
    old, new = (bundles.of(replace(target, python=one)) for one in ("3.10", "3.12"))
    assert old.name != new.name
    assert (unpacked(old.file, tmp_path / "a") / PACKAGES / "greeting.py").read_text() == "FOR = '310'\n"
    assert (unpacked(new.file, tmp_path / "b") / PACKAGES / "greeting.py").read_text() == "FOR = '312'\n"
    assert (tmp_path / "a" / CODE / "outlast" / "loop.py").exists()
    assert [path.name for path in (tmp_path / "a" / CODE).iterdir()] == ["outlast"], (
        "a trainer gets this folder"
    )
    before = new.file.stat().st_mtime_ns
    for found in index.iterdir():
        found.unlink()
    assert Bundles(tmp_path / "kept", NEEDS).of(replace(target, python="3.12")) == new
    assert new.file.stat().st_mtime_ns == before
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == sorted(
        [old.file.name, new.file.name]
    )


def test_the_same_content_gives_the_same_bytes(tmp_path: Path, index: Path) -> None:
    wheel(index, "cp312-cp312-manylinux_2_17_x86_64", "")
    target = replace(own_target(), python="3.12", machine="x86_64")
    one, two = (Bundles(tmp_path / name, NEEDS).of(target).file.read_bytes() for name in "ab")
    assert one[10:] == two[10:], "but for the time in gzip's head"


def test_what_can_not_be_had_is_one_line(tmp_path: Path, index: Path) -> None:
    wheel(index, "cp312-cp312-manylinux_2_17_x86_64", "")
    target = replace(own_target(), python="3.13", machine="aarch64")
    with pytest.raises(BundleTrouble, match=r"for Python 3\.13 on aarch64: .*greeting") as found:
        Bundles(tmp_path / "kept", NEEDS).of(target)
    assert "\n" not in str(found.value)
    assert list((tmp_path / "kept").iterdir()) == [], "nothing half-done is left"


def test_what_is_not_installed_here_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleTrouble, match="pip install no-such-thing"):
        Bundles(tmp_path, ("no-such-thing>=1",)).of(own_target())
