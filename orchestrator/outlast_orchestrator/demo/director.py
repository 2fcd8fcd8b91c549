"""Decides when the market takes a machine, and when the controller dies: at the worst moments.

The two moments that can't be scripted by time, the middle of an upload and the middle of a restore, are
found by looking at the bucket every few milliseconds; afterwards it is checked that they were hit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.core.ports import Clock
from outlast_orchestrator.demo.figures import Spell
from outlast_orchestrator.demo.watch import Watch, read_track

NOTICE_S = 15.0
SILENCE_S = 20.0
AWAY_S = 3.0
STEPS_BEFORE_A_FAULT = 10
LOOK_S = 0.25
CLOSE_LOOK_S = 0.002
PATIENCE_S = 120.0
TRIES = 20


class Sleeper(Clock, Protocol):
    """A clock that can wait."""

    def sleep(self, seconds: float) -> None: ...


@dataclass
class Director:
    watch: Watch
    clock: Sleeper
    say: Callable[[str], None]
    taken: dict[str, str] = field(default_factory=dict)  # machine → how the market took it
    in_upload: int = 0
    in_restore: int = 0
    controller_kills: int = 0
    network_cuts: int = 0
    spells: list[Spell] = field(default_factory=list)

    def play(self) -> None:
        self._let_train()
        self._take_with_notice()
        self._let_train()
        self._take_in_upload()
        self._take_in_restore()
        self._let_train()
        self._kill_controller()
        self._let_train()
        self._cut_network()
        self._let_train()
        self._take_with_notice()

    def _wait(self, until: Callable[[], bool], what: str) -> None:
        start_s = self.clock.monotonic_s()
        while not until():
            if self.clock.monotonic_s() - start_s > PATIENCE_S:
                raise UserError(f"the demo waited {PATIENCE_S:.0f} s in vain until {what}")
            self.clock.sleep(LOOK_S)
            self.watch.look()
            if self.watch.is_over:
                raise UserError(
                    f"the demo's job is {self.watch.state} already: {self.watch.status.get('why')}"
                )

    def _let_train(self) -> None:
        """Until the living attempt has trained for a while and saved something of its own."""

        def trained() -> bool:
            generation = self.watch.generation()
            enough = self.watch.steps_of(generation) >= STEPS_BEFORE_A_FAULT
            saved = self.watch.count("checkpoint.committed", generation) > 0
            return enough and saved and self.watch.state == "RUNNING" and self.watch.reachable

        self._wait(trained, "the job trains and saves")

    def _machine(self) -> str:
        machine = self.watch.machine(self.watch.generation())
        if machine is None:
            raise UserError("the demo can't find the machine that trains")
        return machine

    def _take_with_notice(self) -> None:
        machine, generation = self._machine(), self.watch.generation()
        self.say(f"the market gives notice: {machine} ends in {NOTICE_S:.0f} s")
        self.taken[machine] = "noticed"
        self.watch.stage.cloud.interrupt(machine, notice_s=NOTICE_S)
        self._wait(lambda: self.watch.generation() > generation, "the replacement owns the job")

    def _take_in_upload(self) -> None:
        """Takes the machine while the objects of a checkpoint arrive whose manifest is not there yet."""
        for _ in range(TRIES):
            machine, cloud = self._machine(), self.watch.stage.cloud
            name = self._await_upload()
            cloud.freeze(machine)  # so that what is seen now is what the death will find
            if self._manifest(name).exists() or not self._at_that_step(name):
                cloud.thaw(machine)
                continue
            self.taken[machine] = "unnoticed"
            self.in_upload += 1
            cloud.interrupt(machine, notice=False)
            self.say(f"{machine} dies without notice, while {name} is uploaded")
            return
        raise UserError(f"the demo did not hit an upload in {TRIES} tries")

    def _at_that_step(self, name: str) -> bool:
        """The trainer has not finished another step since that save.

        A death in an upload costs one interval and what was trained since the save. Steps here are much
        shorter than in real life, so the second part is kept at zero to have a figure to hold on to.
        """
        steps = [line.step for line in read_track(self.watch.stage.track) if line.kind == "step"]
        return steps[-1] == int(name.split("-")[0])

    def _manifest(self, name: str) -> Path:
        return self.watch.stage.job_folder(self.watch.job) / "manifests" / f"{name}.json"

    def _await_upload(self) -> str:
        folder = self.watch.stage.job_folder(self.watch.job) / "checkpoints"
        known = {path.name for path in folder.iterdir()}
        start_s = self.clock.monotonic_s()
        while self.clock.monotonic_s() - start_s < PATIENCE_S:
            fresh = [p.name for p in folder.iterdir() if p.name not in known]
            if fresh and not self._manifest(fresh[0]).exists():
                return fresh[0]
            known.update(fresh)
            self.clock.sleep(CLOSE_LOOK_S)
        raise UserError("the demo's job saved nothing more")

    def _take_in_restore(self) -> None:
        """Takes the replacement right after its claim, before its trainer has started."""
        for _ in range(TRIES):
            before = self.watch.generation()
            generation = self._await_claim(before)
            self.watch.look()
            machine = self.watch.machine(generation)
            if machine is None:
                raise UserError(f"the demo can't find the machine of generation {generation}")
            self.watch.stage.cloud.interrupt(machine, notice=False)
            self.taken[machine] = "unnoticed"
            hit = self.watch.steps_of(generation) == 0
            self.in_restore += hit
            self.say(f"{machine} dies without notice" + (", in the middle of its restore" if hit else ""))
            if hit:
                return
        raise UserError(f"the demo did not hit a restore in {TRIES} tries")

    def _await_claim(self, before: int) -> int:
        start_s = self.clock.monotonic_s()
        while self.clock.monotonic_s() - start_s < PATIENCE_S:
            generation = self.watch.generation()
            if generation > before:
                return generation
            self.clock.sleep(CLOSE_LOOK_S)
        raise UserError("the demo's job was not claimed again")

    def _kill_controller(self) -> None:
        pid = self.watch.stage.kill_server()
        self.controller_kills += 1
        begun_at = self.clock.wall_s()
        self.say(f"the controller (pid {pid}) is killed; it is started again in {AWAY_S:.0f} s")
        self.clock.sleep(AWAY_S)
        self.watch.stage.start_server()
        self.spells.append(Spell("the controller is away", begun_at, self.clock.wall_s()))
        self.watch.look()

    def _cut_network(self) -> None:
        self.network_cuts += 1
        self.say(f"the network between agent and controller is silent for {SILENCE_S:.0f} s")
        begun_at = self.clock.wall_s()
        self.spells.append(Spell("the network is silent", begun_at, begun_at + SILENCE_S))
        self.watch.stage.cloud.silence(for_s=SILENCE_S)
        end_s = self.clock.monotonic_s() + SILENCE_S
        while self.clock.monotonic_s() < end_s:
            self.clock.sleep(LOOK_S)
            self.watch.look()
