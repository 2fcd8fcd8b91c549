"""What `install` made on one node comes to the next one, or is made anew there; by real agents."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
from tests.agent.node.agent_kit import Bench, assign, until
from tests.fakes.wheels import install_from, make_wheel

from outlast.protocol.messages import AgentState, Command, Fact, Permission, WriterRef

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
