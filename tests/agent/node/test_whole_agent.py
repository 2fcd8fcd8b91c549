"""A real agent process from assignment to end: through notices, crashes, restarts and being superseded."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.agent.node.agent_kit import Bench, assign, gone, pack, until
from tests.agent.node.metadata import Metadata

from outlast.bucket.outputs import newest_index
from outlast.node.notices import aws
from outlast.protocol.codec import dump
from outlast.protocol.messages import AgentState, Command, CommandKind, Permission, WriterRef
from outlast.protocol.objects import POINTER_KEY, PointerState


def test_a_job_runs_to_its_end_and_its_outputs_are_verified(bench: Bench, train: str) -> None:
    bench.controller.tell(assign(1, f"{train} 25", outputs=("curve.csv",)), run=Permission())
    bench.start()
    report = bench.controller.wait_state(AgentState.ENDED)
    assert report.exit_code == 0
    pointer = bench.pointer()
    assert pointer is not None
    assert (pointer.state, pointer.exit_code) == (PointerState.ENDED, 0)
    assert pointer.head is not None
    assert pointer.head.step == 20
    index = newest_index(bench.bucket)
    assert index is not None
    assert index.complete
    assert [entry.path for entry in index.files] == ["curve.csv"]
    assert index.files[0].size == len("".join(f"{n}\n" for n in range(1, 26)))


def running(bench: Bench, run: str, generation: int = 1, **changes: Any) -> None:
    """The agent trains, and has committed a checkpoint."""
    bench.controller.tell(assign(generation, run, **changes), run=Permission())
    if bench.process is None:
        bench.start()
    bench.controller.wait(
        "a durable checkpoint",
        lambda r: r.generation == generation and r.state is AgentState.RUNNING and r.save.durable is not None,
    )


def test_told_to_drain_it_saves_the_last_step_and_releases(bench: Bench, train: str) -> None:
    running(bench, f"{train} 100000")
    work = bench.controller.commands
    bench.controller.tell(*work, Command(CommandKind.DRAIN, 1, why="moving", limit_s=20.0))
    report = bench.controller.wait_state(AgentState.RELEASED)
    pointer = bench.pointer()
    assert pointer is not None
    assert pointer.state is PointerState.RELEASED
    assert pointer.head is not None
    # No step that was finished is lost.
    assert pointer.head.step == report.step


def test_the_next_attempt_on_the_node_goes_on_where_the_last_one_was(bench: Bench, train: str) -> None:
    running(bench, f"{train} 100000")
    bench.controller.tell(
        *bench.controller.commands, Command(CommandKind.DRAIN, 1, why="again", limit_s=20.0)
    )
    bench.controller.wait_state(AgentState.RELEASED)
    pointer = bench.pointer()
    assert pointer is not None
    assert pointer.head is not None
    step = pointer.head.step
    bench.controller.tell(assign(2, f"{train} 100000"), run=Permission())
    bench.controller.wait("steps of the second", lambda r: r.generation == 2 and (r.step or 0) > step)
    assert f"starting at {step}" in bench.log()


def test_a_crash_is_told_with_its_code_and_its_name(bench: Bench, train: str) -> None:
    bench.controller.tell(assign(1, f"{train} 100", env={"CRASH_AT": "35"}), run=Permission())
    bench.start()
    report = bench.controller.wait_state(AgentState.ENDED)
    assert report.exit_code == 3
    assert report.failure is not None
    assert "out of memory" in report.failure.message
    assert "CUDA out of memory" in report.failure.tail
    pointer = bench.pointer()
    assert pointer is not None
    assert (pointer.state, pointer.exit_code) == (PointerState.ENDED, 3)
    assert pointer.head is not None
    assert pointer.head.step == 30


def test_exit_0_after_our_request_is_not_success(bench: Bench) -> None:
    """A trainer without any import of ours that saves, says nothing and leaves with 0."""
    leaves = 'i=0; while [ ! -e "$OUTLAST_SAVE_REQUEST" ]; do sleep 0.1; done; exit 0'
    bench.controller.tell(assign(1, leaves), run=Permission())
    bench.start()
    bench.controller.wait_state(AgentState.RUNNING)
    bench.controller.tell(
        *bench.controller.commands, Command(CommandKind.DRAIN, 1, why="moving", limit_s=20.0)
    )
    bench.controller.wait_state(AgentState.RELEASED)
    pointer = bench.pointer()
    assert pointer is not None
    assert pointer.state is PointerState.RELEASED


def test_exit_0_that_nobody_asked_for_is_success(bench: Bench) -> None:
    bench.controller.tell(assign(1, "true"), run=Permission())
    bench.start()
    assert bench.controller.wait_state(AgentState.ENDED).exit_code == 0


def test_killed_in_the_middle_it_releases_what_it_had_and_asks_for_a_new_generation(
    bench: Bench, train: str
) -> None:
    running(bench, f"{train} 100000")
    writer = bench.controller.reports[-1].writer
    bench.kill(signal.SIGKILL)
    bench.start()
    report = bench.controller.wait_state(AgentState.RELEASED)
    assert (report.generation, report.writer) == (1, writer)
    pointer = bench.pointer()
    assert pointer is not None
    assert (pointer.state, pointer.writer) == (PointerState.RELEASED, writer)
    running(bench, f"{train} 100000", generation=2)


def test_a_command_for_an_attempt_that_is_over_does_not_bring_it_back(bench: Bench, train: str) -> None:
    running(bench, f"{train} 100000")
    bench.kill(signal.SIGKILL)
    bench.start()  # the controller still says: assign generation 1, run
    bench.controller.wait_state(AgentState.RELEASED)
    reports = len(bench.controller.reports)
    bench.controller.wait("three more reports", lambda _: len(bench.controller.reports) > reports + 3)
    assert {r.state for r in bench.controller.reports[reports:]} == {AgentState.RELEASED}


def test_superseded_while_frozen_it_kills_its_trainer_on_waking(bench: Bench, train: str) -> None:
    running(bench, f"{train} 100000 & echo $! > pid; wait")
    trainer = int((bench.home / "work" / "empty" / "pid").read_text())
    assert bench.process is not None
    os.kill(bench.process.pid, signal.SIGSTOP)
    read = bench.bucket.get(POINTER_KEY)
    mine = bench.pointer()
    assert mine is not None
    other = replace(mine, generation=2, writer="other", seq=mine.seq + 1)
    bench.bucket.replace(POINTER_KEY, dump(other), read.version)
    os.kill(bench.process.pid, signal.SIGCONT)
    bench.controller.wait_state(AgentState.FENCED)
    until("the trainer is dead", lambda: gone(trainer))
    assert bench.pointer() == other


def test_no_claim_without_the_word_run(bench: Bench, train: str) -> None:
    bench.controller.tell(assign(1, f"{train} 20"))
    bench.start()
    bench.controller.wait_state(AgentState.WAITING)
    reports = len(bench.controller.reports)
    bench.controller.wait("more questions", lambda _: len(bench.controller.reports) > reports + 3)
    assert bench.pointer() is None
    bench.controller.tell(assign(1, f"{train} 20"), Command(CommandKind.ABANDON, 1, why="paused"))
    bench.controller.wait_state(AgentState.ABANDONED)
    assert bench.pointer() is None


@pytest.mark.slow
def test_without_controller_and_bucket_it_switches_the_machine_off(bench: Bench, train: str) -> None:
    running(bench, f"{train} 100000")
    bench.kill(signal.SIGKILL)
    bench.controller.lease_s = 3.0
    bench.start()
    bench.controller.wait_state(AgentState.RELEASED)
    bench.controller.silent = True
    bucket = bench.folder / "bucket"
    bucket.rename(bench.folder / "gone")
    bucket.write_text("not a folder")
    until("the machine is switched off", (bench.folder / "off").exists)
    assert "lease" in (bench.home / "power-off").read_text()


def test_the_system_ends_the_agent_and_it_leaves_in_order(bench: Bench, train: str) -> None:
    running(bench, f"{train} 100000")
    bench.kill(signal.SIGTERM)
    assert bench.process is not None
    assert bench.process.wait(40) == 0
    pointer = bench.pointer()
    assert pointer is not None
    assert pointer.state is PointerState.RELEASED


def test_a_notice_leads_to_a_final_save_and_a_release_before_the_deadline(bench: Bench, train: str) -> None:
    metadata = Metadata()
    bench.env[aws.ENDPOINT_VARIABLE] = metadata.url
    running(bench, f"{train} 100000")
    metadata.notice_in(15.0)
    report = bench.controller.wait_state(AgentState.RELEASED)
    assert report.notice is not None
    assert report.notice.kind == "terminate"
    assert report.notice.deadline_in_s is not None
    assert report.notice.deadline_in_s > 0
    pointer = bench.pointer()
    assert pointer is not None
    assert pointer.head is not None
    assert (pointer.state, pointer.head.step) == (PointerState.RELEASED, report.step)
    metadata.close()


def test_the_code_is_unpacked_set_up_once_and_what_was_printed_is_in_the_bucket(
    bench: Bench, tmp_path: Path
) -> None:
    key = pack(bench, {"main.sh": "echo from the code; echo made by setup: $(cat made)\n"})
    command = assign(1, "sh main.sh", setup="echo hello from setup; echo it > made", code=key)
    bench.controller.tell(command, run=Permission())
    bench.start()
    bench.controller.wait_state(AgentState.ENDED)

    def shipped() -> str:
        infos = list(bench.bucket.list("logs/g1-r0/"))
        return b"".join(b"".join(bench.bucket.stream(i.key, 0, i.size)) for i in infos).decode()

    until("the last line is shipped", lambda: "made by setup: it" in shipped())
    assert "hello from setup" in shipped()
    over = WriterRef(1, bench.controller.reports[-1].writer)
    bench.controller.tell(replace(command, generation=2), run=Permission(over_ended=over))
    bench.controller.wait("the second end", lambda r: r.generation == 2 and r.state is AgentState.ENDED)
    assert bench.log().count("hello from setup") == 1


def test_a_setup_that_fails_says_so_before_any_claim(bench: Bench) -> None:
    bench.controller.tell(assign(1, "true", setup="echo no such package; exit 7"), run=Permission())
    bench.start()
    failure = bench.controller.wait_state(AgentState.FAILED).failure
    assert failure is not None
    assert (failure.phase, "code 7" in failure.message) == ("setup", True)
    assert "no such package" in failure.tail
    assert bench.pointer() is None


def test_code_that_was_tampered_with_is_refused(bench: Bench) -> None:
    key = pack(bench, {"main.sh": "true"}, digest="0" * 64)
    bench.controller.tell(assign(1, "sh main.sh", code=key), run=Permission())
    bench.start()
    failure = bench.controller.wait_state(AgentState.FAILED).failure
    assert failure is not None
    assert (failure.phase, failure.fatal) == ("code", True)
