"""Real process trees: what dies with what, who gets which signal, and what an earlier life left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.agent.node.agent_kit import gone, until

from outlast.node import processes
from outlast.node.home import Home
from outlast.node.logs import FileLog
from outlast.node.trainer import ProcessTrainer
from outlast.node_ports import NodeTrouble, TrainerOrder
from outlast.trainer_contract import SaveAnswer, SaveRequest, answer_bytes, environment

# A child in a session of its own, and its child, whose parent is gone: as far from the tree as one can get.
FAR_CHILD = "setsid sh -c 'sleep 1000 & echo $! > far; exec sleep 1000' & "
PYTHON = f"exec {sys.executable}"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.prepare()
    return home


def order(home: Home, command: str, generation: int = 1, signal_name: str = "") -> TrainerOrder:
    env = environment(
        job="j",
        generation=generation,
        attempt_dir=str(home.attempt_dir(generation)),
        checkpoint_dir=str(home.work / "saves"),
        resume_from=None,
        resume_step=None,
    )
    return TrainerOrder(command, env, generation, work_dir=str(home.work), signal=signal_name)


def started(home: Home, command: str, signal_name: str = "") -> ProcessTrainer:
    trainer = ProcessTrainer(home, FileLog(home.logs))
    trainer.start(order(home, command, signal_name=signal_name))
    return trainer


def far_pid(home: Home) -> int:
    file = home.work / "far"
    until("the far child has started", lambda: file.exists() and file.read_text().strip() != "")
    return int(file.read_text())


def test_it_tells_the_exit_code_and_the_last_lines(home: Home) -> None:
    trainer = started(home, "echo one; echo two >&2; exit 5")
    until("the exit", lambda: trainer.poll() is not None)
    ended = trainer.poll()
    assert ended is not None
    assert (ended.code, ended.tail) == (5, "one\ntwo")
    assert trainer.kill(0.0)


@pytest.mark.parametrize(("own", "found"), [({}, "/ours"), ({"PYTHONPATH": "mine"}, "mine:/ours")])
def test_it_finds_our_package_after_what_it_has_itself(home: Home, own: dict[str, str], found: str) -> None:
    trainer = ProcessTrainer(home, FileLog(home.logs), "/ours")
    plain = order(home, 'echo "$PYTHONPATH"; exit 1')
    trainer.start(replace(plain, env={**plain.env, **own}))
    until("the exit", lambda: trainer.poll() is not None)
    ended = trainer.poll()
    assert ended is not None
    assert ended.tail == found
    assert trainer.kill(0.0)


def test_a_signal_is_told_as_a_shell_tells_it(home: Home) -> None:
    trainer = started(home, "kill -KILL $$")
    until("the exit", lambda: trainer.poll() is not None)
    ended = trainer.poll()
    assert ended is not None
    assert ended.code == 137
    assert trainer.kill(0.0)


def test_killing_leaves_nobody_not_even_in_another_session(home: Home) -> None:
    trainer = started(home, FAR_CHILD + "trap '' TERM; while true; do sleep 0.1; done")
    far = far_pid(home)
    assert far in trainer.pids()
    assert trainer.kill(0.2)
    assert gone(far)
    assert trainer.pids() == ()


def test_what_a_trainer_leaves_behind_is_ended_too(home: Home) -> None:
    trainer = started(home, FAR_CHILD + "sleep 0.3")
    far = far_pid(home)
    until("the main process has ended", lambda: trainer.poll() is not None)
    assert not gone(far)
    assert trainer.kill(0.1)
    assert gone(far)


AGENT = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from tests.agent.node.test_trainer import Home, started
home = Home(Path(sys.argv[1]))
trainer = started(home, sys.argv[2])
time.sleep(1000)
"""


def test_the_agents_death_kills_the_whole_tree(home: Home) -> None:
    root = str(Path(__file__).parents[3])
    agent = subprocess.Popen(
        [sys.executable, "-c", AGENT, str(home.root), FAR_CHILD + "sleep 1000", root],
        start_new_session=True,
    )
    far = far_pid(home)
    agent.kill()
    agent.wait()
    # What the next life does first: nothing of the last one may live when it goes on.
    assert ProcessTrainer(home, FileLog(home.logs)).kill(0.0)
    assert gone(far)


def test_the_signal_goes_to_the_program_and_not_to_its_shell(home: Home) -> None:
    program = (
        "import signal, time\n"
        "signal.signal(signal.SIGUSR1, lambda *_: open('got', 'w').close())\n"
        "open('ready', 'w').close()\n"
        "while True: time.sleep(0.05)\n"
    )
    (home.work / "program.py").write_text(program)
    trainer = started(home, f"cd . && {sys.executable} program.py; true", "USR1")
    until("the handler is set", (home.work / "ready").exists)
    assert trainer.ask_save(SaveRequest("r1"))
    until("the program got the signal", (home.work / "got").exists)
    assert trainer.poll() is None
    assert trainer.kill(0.0)


def test_no_signal_for_who_would_die_of_it(home: Home) -> None:
    trainer = started(home, "exec sleep 1000", "USR1")
    until("the program runs", lambda: len(trainer.pids()) > 0)
    assert not trainer.ask_save(SaveRequest("r1"))
    assert trainer.poll() is None
    assert trainer.kill(0.0)


def test_who_reads_the_control_file_gets_no_signal(home: Home) -> None:
    program = "import signal, time; signal.signal(signal.SIGUSR1, lambda *_: open('got', 'w').close())\n"
    program += "open(__import__('os').environ['OUTLAST_PROGRESS'], 'w').write('{\"polls\": true}\\n')\n"
    program += "time.sleep(1000)\n"
    (home.work / "program.py").write_text(program)
    trainer = started(home, f"{PYTHON} program.py", "USR1")
    until("it says that it polls", lambda: trainer.progress().polls)
    assert not trainer.ask_save(SaveRequest("r1", final=True))
    request = home.attempt_dir(1) / "save-request.json"
    assert b'"r1"' in request.read_bytes()
    trainer.withdraw_save()
    assert not request.exists()
    assert trainer.kill(0.0)
    assert not (home.work / "got").exists()


def test_only_the_answer_to_the_newest_request_counts(home: Home) -> None:
    trainer = started(home, "exec sleep 1000")
    trainer.ask_save(SaveRequest("new"))
    answer = home.attempt_dir(1) / "save-answer.json"
    answer.write_bytes(answer_bytes(SaveAnswer("old", 7, leaving=True)))
    assert trainer.progress().answer is None
    answer.write_bytes(answer_bytes(SaveAnswer("new", 8)))
    assert trainer.progress().answer == SaveAnswer("new", 8)
    assert trainer.kill(0.0)


def test_a_signal_that_does_not_exist_is_told_before_the_start(home: Home) -> None:
    trainer = ProcessTrainer(home, FileLog(home.logs))
    with pytest.raises(NodeTrouble, match="is no signal"):
        trainer.start(order(home, "true", signal_name="USR9"))


def test_the_trainer_does_not_inherit_what_is_ours(home: Home) -> None:
    os.environ["OUTLAST_POWEROFF"] = "/bin/off"
    try:
        trainer = started(home, 'echo "[$OUTLAST_POWEROFF$OUTLAST_RESUME_FROM]" > seen')
        until("it has ended", lambda: trainer.poll() is not None)
        assert trainer.kill(0.0)
    finally:
        del os.environ["OUTLAST_POWEROFF"]
    assert (home.work / "seen").read_text() == "[]\n"


def test_a_process_that_catches_a_signal_is_known(home: Home) -> None:
    signal.signal(signal.SIGUSR2, lambda *_: None)
    assert processes.catches(os.getpid(), signal.SIGUSR2)
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)
    assert not processes.catches(os.getpid(), signal.SIGUSR2)
