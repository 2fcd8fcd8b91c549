"""A simulated training: steps take time, saves are small, and its state tells what it was built on.

The state after a step is a function of the job and of the state before it. So a resume from a wrong or a
torn checkpoint cannot end with the right final state.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass

from outlast.node_ports import NodeTrouble, TrainerExit, TrainerOrder, TrainerProgress
from outlast.protocol.values import replace
from outlast.trainer_contract import SaveAnswer, SaveRequest
from outlast_orchestrator.simulate.clock import Dice, Process, SimClock
from outlast_orchestrator.simulate.disk import Files, NodeDisk, is_bad
from outlast_orchestrator.simulate.gang_trainer import Alone, Meetings, PeerLost, company_of
from outlast_orchestrator.simulate.history import History, TrainerEnded, TrainerSaved, TrainerStarted
from outlast_orchestrator.simulate.sickness import BAD, Poisons, Sickness

COMMAND = "simulated-training"
OUTPUT = "model.txt"
CRASHED = 1
KILLED_BY_SIGNAL = 137
PEER_LOST = 3  # a trainer whose gang has lost a member
STAYS_S = 3600.0


@dataclass(frozen=True)
class Profile:
    """What kind of program it is. The job's command line says it."""

    job: str
    steps: int = 200
    step_s: float = 30.0
    save_every: int = 20  # steps
    save_s: float = 10.0
    size: int = 4000  # bytes of a checkpoint
    polls: bool = True  # reads the control file: saves when asked, and exits if told to
    deaf: bool = False  # answers no request at all
    crashes: float = 0.0  # per step

    def command(self) -> str:
        return f"{COMMAND} {json.dumps(self.__dict__, sort_keys=True)}"


def profile_of(command: str) -> Profile:
    return Profile(**json.loads(command[len(COMMAND) :]))


def next_state(job: str, step: int, state: str) -> str:
    return hashlib.sha256(f"{job}/{step}/{state}".encode()).hexdigest()[:32]


@functools.lru_cache(maxsize=64)
def final_state(job: str, steps: int) -> str:
    """What a run that was never interrupted ends with."""
    state = ""
    for step in range(1, steps + 1):
        state = next_state(job, step, state)
    return state


def checkpoint_files(profile: Profile, step: int, state: str) -> Files:
    """One file that changes with every save, and one that never does."""
    head = json.dumps({"job": profile.job, "step": step, "state": state}).encode() + b"\n"
    filling = (state or "-").encode() * (profile.size // max(len(state), 1) + 1)
    return {
        "config.json": json.dumps({"job": profile.job}).encode() * 20,
        "model.bin": head + filling[: max(profile.size - len(head), 0)],
    }


def read_checkpoint(files: Files) -> tuple[int, str]:
    """Step and state. Raises KeyError, ValueError for what is no checkpoint."""
    value = json.loads(files["model.bin"].split(b"\n", 1)[0])
    return int(value["step"]), str(value["state"])


class SimTrainer:
    """The simulation's `outlast.node_ports.Trainer`: the process tree of one machine."""

    def __init__(
        self,
        clock: SimClock,
        history: History,
        machine: str,
        disk: NodeDisk,
        dice: Dice,
        meetings: Meetings | None = None,
        poisons: Poisons | None = None,
    ) -> None:
        self.sickness = Sickness({} if poisons is None else poisons)
        self._meetings: Meetings = {} if meetings is None else meetings
        self._company = Alone()
        self._clock = clock
        self._history = history
        self._machine = machine
        self._disk = disk
        self._dice = dice
        self._starts = 0
        self._process: Process | None = None
        self._order: TrainerOrder | None = None
        self._exit: TrainerExit | None = None
        self._seen = TrainerProgress()
        self._step = 0  # last finished
        self._asked: SaveRequest | None = None

    # what the machine does to it

    @property
    def process(self) -> Process | None:
        return self._process if self._process is not None and self._process.alive else None

    def vanish(self, why: str) -> None:
        """Its machine or its agent has died."""
        process, order = self.process, self._order
        if process is None or order is None:
            return
        process.kill(why)
        self._ended(order, None)
        self._exit = TrainerExit(KILLED_BY_SIGNAL)

    def saves_left(self) -> int:
        """How many saves of its own rhythm a healthy trainer that runs here has before it."""
        if self.process is None or self._order is None or self._step == 0 or not self.sickness.well:
            return 0
        profile = profile_of(self._order.command)
        return (profile.steps - self._step) // profile.save_every

    def poison(self, steps: int) -> tuple[str, int]:
        """The job, and the step from which on its state is bad, so many from now."""
        assert self._order is not None
        job, step = profile_of(self._order.command).job, self._step + steps
        self.sickness.poisons[job] = step
        return job, step

    # the port

    def start(self, order: TrainerOrder) -> None:
        self._clock.step()
        if self.process is not None:
            raise NodeTrouble("trainer", "a trainer runs here already")
        self._starts += 1
        self._order, self._exit, self._asked, self._step = order, None, None, 0
        self._seen = TrainerProgress()
        self.sickness.begin("")
        self._process = self._clock.process(f"trainer/{self._machine}/{self._starts}")
        self._process.spawn("train", lambda: self._train(order))

    def ask_save(self, request: SaveRequest) -> bool:
        self._clock.step()
        if self.process is not None:
            self._asked = request
        return not self._seen.polls

    def withdraw_save(self) -> None:
        self._clock.step()
        if self._seen.polls:
            self._asked = None

    def poll(self) -> TrainerExit | None:
        return self._exit

    def pids(self) -> tuple[int, ...]:
        return () if self.process is None else (1,)

    def progress(self) -> TrainerProgress:
        return self._seen

    def kill(self, grace_s: float) -> bool:
        del grace_s
        self._clock.sleep(0.5)
        self.vanish("killed by its agent")
        return True

    # the program

    def _train(self, order: TrainerOrder) -> None:
        profile = profile_of(order.command)
        company = self._company = company_of(
            self._clock, self._dice, self._meetings, order.env, profile.job, order.generation
        )
        self._clock.sleep(5.0 + 20.0 * self._dice.random())
        step, state = 0, ""
        if order.resume_path:
            found = self._disk.folders.get(order.resume_path)
            if found is None:
                self._leave(order, CRASHED, f"there is no {order.resume_path}")
                return
            step, state = read_checkpoint(found)
            state = company.judge(found, step, state)
        self._step = step
        self.sickness.begin(state)
        self._seen = replace(self._seen, polls=profile.polls)
        started = TrainerStarted(self._machine, profile.job, order.generation, step, state)
        self._history.record(self._clock.now_s, started)
        while step < profile.steps:
            self._clock.sleep(profile.step_s)
            if self._dice.random() < profile.crashes:
                self._leave(order, CRASHED, "a crash")
                return
            step += 1
            self.sickness.lost = company.spreads(self.sickness.lost, step)
            state = self.sickness.after(profile.job, step, next_state(profile.job, step, state))
            try:
                asked = company.agree(step, None if profile.deaf else self._asked)
            except PeerLost:
                self._leave(order, PEER_LOST, "connection closed by peer")
                return
            self._step = step
            self._seen = replace(self._seen, step=step)
            if asked is not None or step % profile.save_every == 0 or step == profile.steps:
                self._asked = None if asked is self._asked else self._asked
                leaving = asked is not None and asked.final and profile.polls and step < profile.steps
                self._save(order, profile, step, state, asked, leaving)
                if leaving and company.stays():
                    self._clock.sleep(STAYS_S)
                if leaving:
                    self._leave(order, 0, "left when asked")
                    return
        if state == BAD:
            self._leave(order, CRASHED, "the loss is nan")
            return
        self._disk.outputs[OUTPUT] = state.encode()
        self._seen = replace(self._seen, done=profile.polls)
        self._leave(order, 0, "done", done=True)

    def _save(
        self,
        order: TrainerOrder,
        profile: Profile,
        step: int,
        state: str,
        asked: SaveRequest | None,
        leaving: bool,
    ) -> None:
        self._clock.sleep(profile.save_s)
        state = self.sickness.saved(state)
        files = self._company.files(checkpoint_files(profile, step, state), step, state)
        if files:
            self._disk.saved(step, files)
        if asked is not None and profile.polls and self._company.rank == 0:
            self._seen = replace(self._seen, answer=SaveAnswer(asked.id, step, leaving=leaving))
        final = asked is not None and asked.final
        saved = TrainerSaved(self._machine, profile.job, order.generation, step, final, is_bad(files))
        self._history.record(self._clock.now_s, saved)

    def _leave(self, order: TrainerOrder, code: int, tail: str, *, done: bool = False) -> None:
        self._exit = TrainerExit(code, tail)
        self._ended(order, code, done=done)
        if self._process is not None:
            self._process.kill("exited")

    def _ended(self, order: TrainerOrder, code: int | None, *, done: bool = False) -> None:
        job = profile_of(order.command).job
        self._company.left()
        bad = self.sickness.lost
        ended = TrainerEnded(self._machine, job, order.generation, self._step, code, done, bad)
        self._history.record(self._clock.now_s, ended)
