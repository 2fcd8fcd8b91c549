"""What `install` made on one node comes to the next one, or is made anew there; by real agents."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from tests.agent.node.agent_kit import WAIT_S, Bench, assign, until
from tests.fakes.wheels import install_from, make_wheel

from outlast.protocol.messages import (
    AgentState,
    CheckpointPlan,
    Command,
    CommandKind,
    Fact,
    Permission,
    WriterRef,
)

USE = "python -c 'import sys, words; print(words.TEXT, sys.prefix)' && say-words && sleep 600"


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    code = b"TEXT = 'from the wheel'\ndef main():\n    print('said by the script')\n"
    files = {"words/__init__.py": code, "words/large.bin": b"0123456789abcdef" * 100_000}
    make_wheel(folder, "words", files, {"say-words": "words:main"})
    return folder


def job(wheels: Path, generation: int = 1, run: str = USE, **changes: object) -> Command:
    install = f"echo installing; {install_from(wheels, 'words')}"
    return assign(generation, run, install=install, **changes)


def facts(bench: Bench, kind: str) -> list[Fact]:
    found = {(r.boot, fact.id): fact for r in bench.controller.reports for fact in r.facts}
    return [fact for fact in found.values() if fact.kind == kind]


def heard(bench: Bench, kind: str) -> Fact:
    until(f"{kind} is told", lambda: bool(facts(bench, kind)))
    return facts(bench, kind)[-1]


def kept(bench: Bench) -> list[str]:
    return [info.key for info in bench.bucket.list("env/")]


def another_machine(bench: Bench) -> None:
    """The first one is gone, and its disk with it; this one has the same paths."""
    bench.kill(signal.SIGKILL)
    shutil.rmtree(bench.home)


def trains(bench: Bench, command: Command) -> None:
    report = bench.controller.reports[-1] if bench.controller.reports else None
    closed = (WriterRef(report.generation, report.writer),) if report is not None else ()
    bench.controller.tell(command, run=Permission(closed=closed))
    bench.start()
    bench.controller.wait(
        "training", lambda r: r.generation == command.generation and r.state is AgentState.RUNNING
    )
    until("the trainer has its packages", lambda: "said by the script" in bench.log())


def test_the_next_node_gets_what_the_first_one_installed(bench: Bench, wheels: Path) -> None:
    trains(bench, job(wheels))
    kept = heard(bench, "environment.kept")
    assert "files" in kept.why
    log = bench.log()
    assert "installing" in log
    assert f"from the wheel {bench.home / 'environments'}" in log
    another_machine(bench)
    shutil.rmtree(wheels)  # nothing could be installed any more
    trains(bench, job(wheels, 2))
    log = bench.log()
    assert "installing" not in log
    assert f"from the wheel {bench.home / 'environments'}" in log
    reused = heard(bench, "environment.reused")
    assert "install took" in reused.why
    assert float(reused.data["saved_s"]) >= 0
    assert facts(bench, "environment.skipped") == []


def test_checkpoints_are_saved_while_the_environment_is_on_its_way(
    bench: Bench, wheels: Path, train: str
) -> None:
    """It is packed and sent behind them; an agent that is killed meanwhile leaves nothing that counts."""
    large = {"words/noise.bin": os.urandom(80 << 20)}
    make_wheel(wheels, "noise", large)
    install = f"{install_from(wheels, 'words', 'noise')}; say-words"
    slow = CheckpointPlan(dir="saves", upload_mbps_max=8.0)  # three packs: more than a minute
    bench.controller.tell(assign(1, f"{train} 100000", install=install, checkpoint=slow), run=Permission())
    bench.start()
    bench.controller.wait("a durable checkpoint", lambda r: r.save.durable is not None)
    until("a part of it is there", lambda: len(kept(bench)) > 0)
    step = bench.controller.reports[-1].save.durable
    bench.controller.wait("a newer one", lambda r: r.save.durable != step)
    assert not [key for key in kept(bench) if key.endswith(".json")], "it was still on its way"
    bench.kill(signal.SIGKILL)
    bench.start()
    bench.controller.wait_state(AgentState.RELEASED)
    report = bench.controller.reports[-1]
    over = Permission(closed=(WriterRef(report.generation, report.writer),))
    bench.controller.tell(assign(2, f"{train} 100000", install=install), run=over)
    until("the record is there", lambda: any(key.endswith(".json") for key in kept(bench)), 2 * WAIT_S)
    assert bench.log().count("said by the script") == 1, "install ran once"
    bench.controller.tell(
        *bench.controller.commands, Command(CommandKind.DRAIN, 2, why="moving", limit_s=20.0)
    )
    bench.controller.wait_state(AgentState.RELEASED)


def test_a_job_that_failed_leaves_its_environment_and_one_that_is_done_does_not(
    bench: Bench, wheels: Path
) -> None:
    run = "say-words; while [ ! -e ../../finish ]; do sleep 0.1; done; exit $(cat ../../finish)"
    bench.controller.tell(job(wheels, run=run), run=Permission())
    bench.start()
    heard(bench, "environment.kept")
    (bench.home / "finish").write_text("3")
    report = bench.controller.wait_state(AgentState.ENDED)
    assert kept(bench)
    (bench.home / "finish").write_text("0")
    over = Permission(over_ended=WriterRef(report.generation, report.writer))
    bench.controller.tell(job(wheels, 2, run=run), run=over)
    bench.controller.wait("the end", lambda r: r.generation == 2 and r.state is AgentState.ENDED)
    until("nothing is kept any more", lambda: not kept(bench))
    assert bench.log().count("installing") == 1


def test_an_install_without_secrets_and_a_trainer_that_imports_outlast(bench: Bench, wheels: Path) -> None:
    """Secrets are for the trainer; the agent's own package is found by a Python that does not have it."""
    run = "python -c 'import outlast, sys; print(\"found\", outlast.__file__, sys.prefix)'"
    install = f"env > printed; {install_from(wheels, 'words')}"
    command = assign(1, run, install=install, env={"GIVEN": "yes"})
    bench.env["OUTLAST_SECRET_TOKEN"] = "never-shown"
    bench.controller.tell(command, run=Permission())
    bench.start()
    bench.controller.wait_state(AgentState.ENDED)
    assert f"found {bench.home / 'package'}" in bench.log()
    printed = (bench.home / "work" / "empty" / "printed").read_text()
    assert "GIVEN=yes" in printed
    assert f"VIRTUAL_ENV={bench.home / 'environments'}" in printed
    assert "never-shown" not in printed
