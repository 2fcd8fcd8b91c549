"""A node that is killed at any point of it leaves nothing that the next one takes for whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.agent.environment.doomed_node import REACHED
from tests.agent.environment.machines import LARGE_INSTALL, Machines

from outlast.bucket.client import open_bucket

ROOT = Path(__file__).parents[3]
LIMIT_S = 120.0


@pytest.fixture
def machines(tmp_path: Path) -> Machines:
    (tmp_path / "bucket").mkdir()
    bucket = open_bucket(f"file://{tmp_path / 'bucket'}")
    return Machines(tmp_path, bucket, install=LARGE_INSTALL)


def killed(machines: Machines, verb: str, number: int) -> None:
    """A node of its own comes to that point, and dies there."""
    (machines.folder / REACHED).unlink(missing_ok=True)
    with (machines.folder / "doomed.out").open("ab") as output:
        doomed = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.agent.environment.doomed_node",
                str(machines.folder),
                verb,
                str(number),
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=output,
        )
    end_s = time.monotonic() + LIMIT_S
    while not (machines.folder / REACHED).exists():
        said = (machines.folder / "doomed.out").read_text()
        assert doomed.poll() is None, said
        assert time.monotonic() < end_s, said
        time.sleep(0.01)
    doomed.send_signal(signal.SIGKILL)
    doomed.wait()


def names(machines: Machines) -> list[str]:
    return [info.key for info in machines.bucket.list("env/")]


@pytest.mark.parametrize(
    ("verb", "number", "packs"),
    [("upload", 1, 0), ("wrote", 2, 1), ("upload", 3, 2), ("create", 1, 4)],
    ids=["packing", "uploading", "between two packs", "before the record"],
)
def test_killed_while_it_keeps_one(machines: Machines, verb: str, number: int, packs: int) -> None:
    """The next node finds nothing that counts, and installs; the same one keeps what it had installed."""
    killed(machines, verb, number)
    left = names(machines)
    assert not [key for key in left if key.endswith(".json")]
    assert len(left) == packs
    machines.again()
    assert machines.prepare() == "the environment is here already"
    before = machines.contents()
    machines.keep()
    assert [kind for kind, _ in machines.facts] == ["environment.kept"]
    assert set(left) < set(names(machines)), "what was there is not sent again"
    machines.next()
    assert machines.prepare().startswith("the environment was brought")
    assert machines.contents() == before
    assert machines.installs == 1


def test_killed_while_it_keeps_one_and_its_machine_is_gone(machines: Machines) -> None:
    killed(machines, "upload", 3)
    machines.next()
    assert machines.prepare().startswith("install done")
    assert machines.facts == []


@pytest.mark.parametrize("number", [1, 3], ids=["at its begin", "in its middle"])
def test_killed_while_one_is_unpacked(machines: Machines, number: int) -> None:
    machines.kept()
    killed(machines, "stream", number)
    assert list(machines.folder.glob("home/environments/.*.new")), "it died in the middle of it"
    assert not list(machines.folder.glob("home/environments/*.json"))
    machines.again()
    assert machines.prepare().startswith("the environment was brought")
    assert not list(machines.folder.glob("home/environments/.*"))
    assert machines.installs == 1


def test_killed_when_it_was_unpacked_and_not_yet_marked(machines: Machines) -> None:
    machines.kept()
    machines.prepare()
    next(machines.folder.glob("home/environments/*.json")).unlink()
    machines.again()
    assert machines.prepare().startswith("the environment was brought")


def test_killed_in_the_middle_of_install(machines: Machines) -> None:
    """Half an environment is no environment, and half-done processes do not go on."""
    (machines.folder / "stand-still").touch()
    killed(machines, "none", 1)
    (machines.folder / "stand-still").unlink()
    machines.again()
    assert machines.prepare().startswith("install done")
    assert machines.installs == 2
