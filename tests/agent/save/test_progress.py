"""The progress file: half lines wait, garbage is skipped, a file begun anew is followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from outlast import trainer_contract as contract
from outlast.save.progress import ProgressTail
from outlast.training import Contact, Preempted


def steps_in(tail: ProgressTail) -> list[int]:
    return [line.step for line in tail.read() if line.step is not None]


def test_half_a_line_waits_for_its_end_and_garbage_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "p"
    tail = ProgressTail(path)
    assert tail.read() == []
    path.write_bytes(b'{"step": 1}\nhello\n[3]\n\xff\xff\n{"step": "x"}\n{"step": 2}\n{"step": 3')
    assert steps_in(tail) == [1, 2]
    with path.open("ab") as file:
        file.write(b'3, "metrics": {"loss": NaN, "lr": 0.5, "on": true}}\n')
    (line,) = tail.read()
    assert (line.step, line.metrics, line.not_finite) == (33, {"lr": 0.5}, ("loss",))
    assert tail.read() == []


def test_a_file_begun_anew_is_read_to_its_end_first(tmp_path: Path) -> None:
    path = tmp_path / "p"
    contact = Contact({contract.PROGRESS: str(path)})
    tail = ProgressTail(path)
    contact.log(0, {"note": float("inf")})
    assert steps_in(tail) == [0]
    metrics = {f"a_rather_long_name_{number}": 0.123456789 for number in range(2000)}
    last = 0
    while not path.with_name("p.1").exists():
        last += 1
        assert last < 1000, "it was never begun anew"
        contact.log(last, metrics)
    contact.log(last + 1, {})
    assert steps_in(tail) == list(range(1, last + 2))
    assert path.stat().st_size < contract.PROGRESS_BYTES_MAX


def test_should_save_answers_once_the_loop_comes_back_and_a_final_one_leaves(tmp_path: Path) -> None:
    env = contract.environment(
        job="j",
        generation=1,
        attempt_dir=str(tmp_path),
        checkpoint_dir="",
        resume_from=None,
        resume_step=None,
    )
    request_path, answer_path = Path(env[contract.SAVE_REQUEST]), Path(env[contract.SAVE_ANSWER])
    contact = Contact(env)
    assert not contact.should_save()
    request_path.write_bytes(contract.request_bytes(contract.SaveRequest("one")))
    contact.log(4, {})
    assert contact.should_save()
    assert not answer_path.exists(), "the save is not on disk yet"
    assert not contact.should_save(), "asked once"
    answer = contract.read_answer(answer_path.read_bytes())
    assert (answer.id, answer.step, answer.leaving) == ("one", 4, False)
    request_path.write_bytes(contract.request_bytes(contract.SaveRequest("two", final=True)))
    contact.log(5, {})
    assert contact.should_save()
    with pytest.raises(Preempted) as caught:
        contact.should_save()
    assert caught.value.code == 0
    assert contract.read_answer(answer_path.read_bytes()) == contract.SaveAnswer("two", 5, "", True)


def test_a_withdrawn_or_garbled_request_is_none(tmp_path: Path) -> None:
    path = tmp_path / "r"
    contact = Contact({contract.SAVE_REQUEST: str(path)})
    path.write_bytes(contract.request_bytes(contract.SaveRequest("one")))
    assert contact.request() is not None
    path.unlink()
    assert contact.request() is None
    path.write_bytes(b"{")
    assert contact.request() is None


def test_without_an_agent_nothing_is_asked_and_nothing_written() -> None:
    contact = Contact({})
    contact.log(1, {"loss": 1.0})
    contact.done()
    assert not contact.should_save()


def test_a_disk_that_takes_no_files_ends_no_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    request, nowhere = tmp_path / "r", tmp_path / "gone" / "a"
    names = (contract.SAVE_REQUEST, contract.PROGRESS, contract.SAVE_ANSWER)
    contact = Contact(dict(zip(names, map(str, (request, nowhere, nowhere)), strict=True)))
    request.write_bytes(contract.request_bytes(contract.SaveRequest("one", final=True)))
    contact.log(4, {"loss": 1.0})
    assert contact.should_save()
    with pytest.raises(Preempted):  # saved, though nobody hears of it
        contact.should_save()
    assert "progress can't be written" in caplog.text
    assert "the save could not be told" in caplog.text


def test_a_file_that_can_not_be_read_is_no_progress(tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.mkdir()  # it opens, and every read of it is an error
    tail = ProgressTail(path)
    assert tail.read() == tail.read() == []
    path.rmdir()
    path.write_bytes(b'{"step": 4}\n')
    assert steps_in(tail) == [4]
