"""What an environment is made on, and which changes make it another one."""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

from outlast.environment.ground import (
    Ground,
    NoGround,
    difference,
    digest_of,
    gpus_of,
    instructions_of,
    look,
    system_of,
)
from outlast.protocol.messages import Work

GROUND = Ground(
    "/usr/bin/python3.11", "3.11.2", "cpython-311", "glibc 2.36", "x86_64", "debian 12", "avx2", ""
)
WORK = Work("n", "own", 1, "run", setup="s", install="i", code="code/c", env={"A": "1"})


def test_the_same_gives_the_same() -> None:
    same = replace(WORK, env={"A": "1"}, run="another", revision=7, name="m")
    assert digest_of(same, GROUND, "/a") == digest_of(WORK, GROUND, "/a")


@pytest.mark.parametrize("name", [field.name for field in fields(Ground)])
def test_whatever_a_node_stands_on_counts(name: str) -> None:
    other = replace(GROUND, **{name: "another"})
    assert digest_of(WORK, other, "/a") != digest_of(WORK, GROUND, "/a")
    assert name in difference(GROUND.words(), other.words())


@pytest.mark.parametrize(
    "changes", [{"setup": "t"}, {"install": "j"}, {"code": "code/d"}, {"env": {}}], ids=str
)
def test_whatever_install_can_see_counts(changes: dict[str, object]) -> None:
    other = replace(WORK, **changes)  # type: ignore[arg-type]
    assert digest_of(other, GROUND, "/a") != digest_of(WORK, GROUND, "/a")


def test_where_it_lies_counts() -> None:
    assert digest_of(WORK, GROUND, "/a") != digest_of(WORK, GROUND, "/b")


def test_this_machine_says_what_it_is() -> None:
    ground = look(sys.executable)
    assert ground.version == "{}.{}.{}".format(*sys.version_info[:3])
    assert ground.libc.startswith("glibc")
    assert Path(ground.python).is_file()


def test_what_is_no_python_is_no_ground(tmp_path: Path) -> None:
    for path in ("/bin/false", str(tmp_path / "nothing")):
        with pytest.raises(NoGround, match="does not say what it is"):
            look(path)


def test_the_instructions_of_the_processor_are_those_that_a_compiler_uses() -> None:
    text = "processor\t: 0\nflags\t\t: fpu vme sse sse2 avx2 avx512f md_clear hypervisor\n"
    assert instructions_of(text) == "avx2 avx512f sse sse2"
    assert instructions_of("Features\t: fp asimd sve2 evtstrm\n") == "asimd sve2"
    assert instructions_of("") == ""


def test_the_distribution_is_named_with_its_version() -> None:
    assert system_of('PRETTY_NAME="x"\nID=ubuntu\nVERSION_ID="24.04"\n') == "ubuntu 24.04"


def test_kinds_of_gpus_count_and_not_how_many(tmp_path: Path) -> None:
    for number, model in enumerate(("NVIDIA H100", "NVIDIA H100", "Tesla T4")):
        folder = tmp_path / f"0000:0{number}"
        folder.mkdir()
        (folder / "information").write_text(f"Model: \t\t {model}\nIRQ:   {number}\n")
    assert gpus_of(tmp_path) == "NVIDIA H100, Tesla T4"
    assert gpus_of(tmp_path / "none") == ""
