"""One node installs, the next one is brought the same; and whatever is in doubt is made anew, with a word."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.agent.environment.machines import Machines
from tests.e2e.disks import small_disk
from tests.fakes.bucket import MemoryBucket

from outlast.bucket import environments as kept
from outlast.node_ports import NodeTrouble


@pytest.fixture
def machines(tmp_path: Path) -> Machines:
    return Machines(tmp_path)


def test_the_next_node_has_the_same_and_installs_nothing(machines: Machines) -> None:
    assert machines.prepare().startswith("install done")
    before = machines.contents()
    machines.keep()
    machines.next()
    assert machines.prepare().startswith("the environment was brought")
    assert machines.contents() == before
    assert machines.installs == 1
    root = Path(machines.node.folder)
    assert (root / "bin" / "say").read_text().startswith(f"#!{root}/bin/python")
    said = subprocess.run([root / "bin" / "say"], capture_output=True, text=True, check=True)
    assert said.stdout == "installed\n"
    large = next(root.glob("lib/*/site-packages/words/large"))
    assert large.samefile(large.with_name("twin")), "two names of one file are still one file"
    assert [kind for kind, _ in machines.facts] == ["environment.kept", "environment.reused"]
    assert machines.lines[0] == "install is running"
    assert machines.lines[-1].startswith("restoring the environment, ")


def test_on_the_same_node_it_is_there_already(machines: Machines) -> None:
    machines.prepare()
    machines.again()
    assert machines.prepare() == "the environment is here already"
    machines.keep()
    assert [kind for kind, _ in machines.facts] == ["environment.kept"], "an earlier life had not kept it"
    machines.keep()
    assert len(machines.facts) == 1


def test_nothing_is_kept_yet_and_no_word_is_made_of_it(machines: Machines) -> None:
    machines.prepare()
    assert machines.facts == []
    assert machines.installs == 1


def _bucket(machines: Machines) -> MemoryBucket:
    assert isinstance(machines.bucket, MemoryBucket)
    return machines.bucket


def _record(machines: Machines) -> str:
    return next(key for key in _bucket(machines).keys("env/") if key.endswith(".json"))


def _pack(machines: Machines) -> str:
    return next(key for key in _bucket(machines).keys("env/") if not key.endswith(".json"))


def _truncated(machines: Machines) -> None:
    bucket, key = _bucket(machines), _pack(machines)
    bucket.put(key, bucket.get(key).body[:-100])


def _of_somebody_else(machines: Machines) -> None:
    bucket, key = _bucket(machines), _record(machines)
    bucket.put(key, bucket.get(key).body.replace(b'"own"', b'"who"'))


def _of_a_newer_version(machines: Machines) -> None:
    bucket, key = _bucket(machines), _record(machines)
    bucket.put(key, bucket.get(key).body.replace(b'"format":1', b'"format":2'))


DAMAGES = {
    "a flipped bit": lambda m: _bucket(m).flip_bit(_pack(m)),
    "a missing pack": lambda m: _bucket(m).delete(_pack(m)),
    "a shorter pack": _truncated,
    "no JSON": lambda m: _bucket(m).put(_record(m), b"{"),
    "of another owner": _of_somebody_else,
    "of a newer version": _of_a_newer_version,
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_damaged_is_made_anew_told_once_and_replaced(machines: Machines, name: str) -> None:
    machines.kept()
    DAMAGES[name](machines)
    assert machines.prepare().startswith("install done")
    assert machines.installs == 2
    (told,) = machines.facts
    assert told[0] == "environment.skipped"
    assert "the environment is made anew: " in told[1]
    assert not list(machines.folder.glob("home/environments/.*")), "nothing half-done stays"
    machines.keep()
    machines.next()
    assert machines.prepare().startswith("the environment was brought"), "the damaged one was replaced"
    assert machines.installs == 2


def test_without_its_record_nothing_counts(machines: Machines) -> None:
    machines.kept()
    _bucket(machines).delete(_record(machines))
    assert machines.prepare().startswith("install done")
    assert machines.facts == []


def test_another_python_installs_its_own_and_says_what_differs(machines: Machines) -> None:
    machines.kept()
    machines.python("3.99.1")
    assert machines.prepare().startswith("install done")
    (told,) = machines.facts
    assert "what is kept does not fit: its version is 3." in told[1]
    assert told[1].endswith("here it is 3.99.1")
    machines.keep()
    machines.next()
    assert machines.prepare().startswith("the environment was brought")
    machines.python()
    machines.next()
    assert machines.prepare().startswith("the environment was brought"), "both are kept"


@pytest.mark.parametrize(
    "changes",
    [{"code": "code/other"}, {"setup": "true"}, {"env": {"PATH": "/usr/bin:/bin", "X": "1"}}],
    ids=["code", "setup", "env"],
)
def test_whatever_install_may_depend_on_makes_it_another_one(
    machines: Machines, changes: dict[str, object]
) -> None:
    machines.kept()
    if "env" in changes:
        changes = {"env": {**machines.work.env, "X": "1"}}
    assert machines.prepare(**changes).startswith("install done")
    assert "made from another install, setup or code" in machines.facts[0][1]


def test_a_disk_without_room_is_told_and_install_is_tried(machines: Machines, tmp_path: Path) -> None:
    machines.kept()
    with small_disk(tmp_path / "home", "200m"):
        machines.again()
        assert machines.prepare().startswith("install done")
    ((kind, why),) = machines.facts
    assert kind == "environment.skipped"
    assert "MiB are free in" in why


def test_a_disk_that_fills_up_meanwhile_is_told_and_nothing_half_done_stays(
    machines: Machines, tmp_path: Path
) -> None:
    machines.kept()
    with small_disk(tmp_path / "home", "400m") as disk:
        machines.again()
        _bucket(machines).before = lambda verb, _: disk.fill() if verb == "stream" else None
        with pytest.raises(NodeTrouble, match=r"disk|environment"):  # nor can anything be installed there
            machines.prepare()
        assert not list(tmp_path.glob("home/environments/.*"))
    assert "No space left" in machines.facts[0][1]


def test_a_bucket_that_can_not_be_read_costs_an_install(machines: Machines) -> None:
    machines.kept()
    _bucket(machines).fail("denied", "get", "env/")
    assert machines.prepare().startswith("install done")
    assert "refused" in machines.facts[0][1]


def test_an_interpreter_that_does_not_start_is_no_environment(machines: Machines) -> None:
    """The folder is whole, and what it links to is not there on the next node."""
    python = machines.folder / "python-of-this-machine"
    python.symlink_to(sys.executable)
    machines.work = replace(
        machines.work, install=f'{machines.work.install}\nln -sfn {python} "$VIRTUAL_ENV/bin/python"'
    )
    machines.kept()
    python.unlink()
    assert machines.prepare().startswith("install done")
    assert "its Python does not start" in machines.facts[0][1]
    assert machines.installs == 2


def test_where_nothing_was_installed_nothing_is_kept(machines: Machines) -> None:
    machines.prepare(install="true")
    machines.keep()
    assert _bucket(machines).keys("env/") == []
    assert machines.facts == []


def test_what_was_changed_since_install_is_not_kept(machines: Machines) -> None:
    machines.prepare()
    words = next(Path(machines.node.folder).glob("lib/*/site-packages/words/__init__.py"))
    words.with_name("fresh.pyc").write_bytes(b"what Python derives does not count")
    words.write_text("TEXT = 'changed by the training'\n")
    machines.keep()
    assert "it was changed since install had ended" in machines.facts[0][1]
    assert _bucket(machines).keys("env/") == []


def test_a_home_that_only_this_machine_has_keeps_nothing(tmp_path: Path) -> None:
    machines = Machines(tmp_path, names=("", "home"))
    machines.prepare()
    machines.keep()
    assert "no other machine has a folder" in machines.facts[0][1]
    assert _bucket(machines).keys("env/") == []


def test_a_new_revision_takes_the_place_of_the_old_one(machines: Machines) -> None:
    for number in range(kept.KEPT + 2):
        machines.prepare(code=f"code/{number}")
        machines.keep()
    folders = [path for path in (machines.folder / "home" / "environments").iterdir() if path.is_dir()]
    assert len(folders) == 1
    keys = _bucket(machines).keys("env/")
    assert sum(key.endswith(".json") for key in keys) == kept.KEPT
    machines.node.forget()
    assert _bucket(machines).keys("env/") == []


def test_an_install_that_fails_is_a_failure_of_the_set_up(machines: Machines) -> None:
    with pytest.raises(NodeTrouble, match="install ended with code 7") as caught:
        machines.prepare(install="echo no such package; exit 7")
    assert (caught.value.phase, "no such package" in caught.value.tail) == ("setup", True)
    assert machines.prepare(install=machines.work.install.replace("7", "0")).startswith("install done")


def test_a_python_without_pip_of_its_own_gets_the_systems(machines: Machines) -> None:
    path = machines.folder / "bin" / "python3"
    path.write_text(
        path.read_text().replace("exec", 'case "$*" in *without-pip*) ;; *) exit 1;; esac; exec', 1)
    )
    with pytest.raises(NodeTrouble, match="can't make a virtual environment: let setup install"):
        machines.prepare()
    log = (machines.folder / "python.log").read_text()
    assert "--without-pip" in log


def test_a_job_without_install_has_no_environment(machines: Machines) -> None:
    assert machines.prepare(install=" ") == ""
    assert (machines.node.folder, machines.node.python()) == ("", None)
    machines.keep()
    assert machines.facts == []
