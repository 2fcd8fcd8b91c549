"""Secrets on a node: asked for before each start, for the trainer alone, hidden in what it prints."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.bucket import MemoryBucket

from outlast.node.home import Home
from outlast.node.logs import FileLog
from outlast.node.secrets import SecretBox, begun, hide
from outlast.node.setup import NodeWorkplace
from outlast.node.trainer import ProcessTrainer
from outlast.node_ports import NodeTrouble, TrainerOrder
from outlast.ports import LinkDown, LinkRefused, Unsure
from outlast.protocol.messages import JobSecrets, Work

TOKEN = "hf_abcdefghijkl"
WORK = Work(name="try", owner="own", revision=1, run="true", secrets=("HF_TOKEN",))


def box(**values: str) -> SecretBox:
    found = SecretBox(lambda: values)
    found.bring(tuple(values))
    return found


def home(folder: Path) -> Home:
    made = Home(folder)
    made.prepare()
    return made


def never() -> bool:
    return False


def test_the_controller_is_asked_before_each_start_and_only_where_there_are_names(tmp_path: Path) -> None:
    values = {"HF_TOKEN": "first-value"}
    asked: list[int] = []

    def fetch() -> dict[str, str]:
        asked.append(1)
        return dict(values)

    place = home(tmp_path)
    secrets = SecretBox(fetch)
    workplace = NodeWorkplace(place, MemoryBucket(), FileLog(place.logs), secrets)
    workplace.prepare(Work(name="try", owner="own", revision=1, run="true"), never)
    assert asked == []
    workplace.prepare(WORK, never)
    assert secrets.environment() == {"HF_TOKEN": "first-value"}
    values["HF_TOKEN"] = "second-value"
    workplace.prepare(WORK, never)
    assert secrets.environment() == {"HF_TOKEN": "second-value"}


def test_a_controller_that_is_away_is_waited_for_and_a_secret_that_is_missing_is_told() -> None:
    def away() -> dict[str, str]:
        raise LinkDown("refused")

    def missing() -> dict[str, str]:
        raise LinkRefused("there is no secret HF_TOKEN on the server")

    with pytest.raises(Unsure, match="the job's secrets: refused"):
        SecretBox(away).bring(("HF_TOKEN",))
    with pytest.raises(NodeTrouble, match="there is no secret HF_TOKEN") as found:
        SecretBox(missing).bring(("HF_TOKEN",))
    assert (found.value.phase, found.value.fatal) == ("secrets", True)


def test_the_trainer_has_them_and_a_setup_has_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTLAST_SECRET_OTHER", "of the server, on the same machine")
    place = home(tmp_path)
    log, secrets = FileLog(place.logs), SecretBox(lambda: {"HF_TOKEN": TOKEN})
    work = Work(
        name="try", owner="own", revision=1, run="true", setup="env > of-setup", secrets=("HF_TOKEN",)
    )
    NodeWorkplace(place, MemoryBucket(), log, secrets).prepare(work, never)
    trainer = ProcessTrainer(place, log, secrets=secrets)
    folder = place.work_dir("")
    trainer.start(TrainerOrder("env > of-trainer; sleep 0.1", {}, 1, str(folder)))
    while trainer.poll() is None:
        os.sched_yield()
    trainer.kill(0.0)
    told, before = (folder / "of-trainer").read_text(), (folder / "of-setup").read_text()
    assert f"HF_TOKEN={TOKEN}" in told
    assert "HF_TOKEN" not in before
    assert "OUTLAST_SECRET" not in told + before


def test_what_is_shipped_and_shown_hides_them_also_when_it_is_read_in_the_middle(tmp_path: Path) -> None:
    log = FileLog(tmp_path)
    log.hide(box(HF_TOKEN=TOKEN).hidden())
    os.write(log.descriptor, f"logging in with {TOKEN[:5]}".encode())
    first = log.peek(1000)
    assert first == b"logging in with "
    log.shipped(len(first))
    os.write(log.descriptor, f"{TOKEN[5:]} now\n".encode())
    second = log.peek(1000)
    assert second == b"*" * len(TOKEN) + b" now\n"
    log.shipped(len(second))
    assert log.peek(1000) == b""
    assert log.tail() == f"logging in with {'*' * len(TOKEN)} now"


def test_one_that_is_a_part_of_another_leaves_nothing_of_it() -> None:
    values = box(A="secret-one", B="a-secret-one-more").hidden()
    assert hide(b"x a-secret-one-more secret-one", values) == b"x " + b"*" * 17 + b" " + b"*" * 10


def test_a_short_one_is_not_hidden() -> None:
    """`0` or `yes` would make every line unreadable."""
    assert box(FLAG="yes").hidden() == ()


@given(st.binary(max_size=30), st.integers(0, 40))
def test_wherever_what_is_printed_is_cut_no_whole_value_is_left(noise: bytes, cut: int) -> None:
    value = TOKEN.encode()
    printed = noise + value + noise
    first = printed[:cut]
    first = first[: len(first) - begun(first, (value,))]
    shown = hide(first, (value,)) + hide(printed[len(first) :], (value,))
    assert value not in shown
    assert len(shown) == len(printed)


def test_values_are_not_in_what_python_shows_of_them() -> None:
    assert TOKEN not in repr(JobSecrets({"HF_TOKEN": TOKEN}))
