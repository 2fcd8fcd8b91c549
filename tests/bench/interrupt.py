"""Takes the machines of one job away, again and again, on the real local cloud with real processes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.bench.phases import CLOSED, KINDS, NOTICE, Event, Interruption
from tests.e2e.stage import WAIT_S, Stage
from tests.e2e.trainers import COUNT, COUNTER

NOTICE_S = 30.0
SPREAD_S = 3.0  # the report's period: a blow may fall at any moment of it
STEP_S, SAVE_EVERY = 0.05, 10
FINAL_SAVE_S = 1.5  # a save that was asked for takes its time, as those of real models do
LOOK_EVERY_S = 0.02
STEPS = 1_000_000  # it never gets there


@dataclass
class Rig:
    """One job that trains for ever; `say` is told of every blow."""

    stage: Stage
    job: str
    dice: random.Random
    say: Callable[[str], None]
    spread_s: float = SPREAD_S

    def interrupt(self, kind: str) -> Interruption:
        """One blow, and everything until the next attempt has saved and the old machine is gone."""
        stage, cloud = self.stage, self.stage.cloud
        before = stage.until_saved(self.job)["generation"]
        time.sleep(self.dice.uniform(0.0, self.spread_s))
        machine, at, released_at = stage.machine(self.job), time.time(), None
        if kind == NOTICE:
            cloud.interrupt(machine, notice_s=NOTICE_S)
            released_at = self._released_at(before)
        elif kind == CLOSED:
            cloud.interrupt(machine, notice=False)
        else:
            cloud.freeze(machine)  # SIGSTOP, so that no last word gets out; then nothing closes either
            cloud.interrupt(machine, notice=False, silent=True)
        stage.until_saved(self.job, before + 1)
        stage.until(f"{machine} is gone", lambda: cloud.instance(machine)["state"] == "ended")
        ended_at = float(cloud.instance(machine)["ended_at"])
        self.say(f"{kind:<7} generation {before} on {machine}: {time.time() - at:.1f} s")
        return Interruption(kind, before, machine, at, ended_at, released_at)

    def _released_at(self, generation: int) -> float:
        """When the pointer first says so; a claim that came between two looks says it too."""
        end_s = time.monotonic() + NOTICE_S + WAIT_S
        while time.monotonic() < end_s:
            pointer = self.stage.pointer(self.job)
            if pointer["state"] == "released" or pointer["generation"] > generation:
                return time.time()
            time.sleep(LOOK_EVERY_S)
        raise AssertionError(f"generation {generation} was not released\n{self.stage.story(self.job)}")


def start_rig(stage: Stage, name: str, seed: int, say: Callable[[str], None]) -> Rig:
    """Submits the rig's job to a server that runs."""
    env = {
        "STEPS": str(STEPS),
        "STEP_S": str(STEP_S),
        "SAVE_EVERY": str(SAVE_EVERY),
        "ASKED_SAVE_S": str(FINAL_SAVE_S),
        "TRACK": str(stage.folder / f"{name}.track"),
    }
    job = stage.submit(name, {"counter.py": COUNTER}, run=COUNT, env=env)
    return Rig(stage, job, random.Random(seed), say)


def interrupt_all(
    rig: Rig, of_each: int, kinds: Sequence[str] = KINDS
) -> tuple[list[Interruption], list[Event]]:
    """The kinds in turn, so that a busy spell of this computer hits all of them alike."""
    done = [rig.interrupt(kind) for _ in range(of_each) for kind in kinds]
    newest = done[-1].generation + 1
    rig.stage.until("the last recovery is told", lambda: _stepped(all_events(rig.stage, rig.job), newest))
    return done, all_events(rig.stage, rig.job)


def all_events(stage: Stage, job: str) -> list[Event]:
    found: list[Event] = []
    while True:
        after = found[-1]["seq"] if found else 0
        page = stage.get(f"/v1/jobs/{job}/events", after=after, limit=1000)["events"]
        if not page:
            return found
        found += page


def _stepped(events: Sequence[Event], generation: int) -> bool:
    return any(e["kind"] == "trainer.stepped" and e["attempt"] >= generation for e in events)
