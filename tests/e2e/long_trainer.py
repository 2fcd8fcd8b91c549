"""A trainer that counts until it is let go, and a job of it on a stage, with what has to be true of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.e2e.stage import PYTHON, Stage, track
from tests.e2e.trainers import COUNTER

# COUNTER, but the last step is the one at which the file GO is there.
UNTIL_GO = COUNTER.replace("while step < steps:\n", 'while not os.path.exists(os.environ["GO"]):\n')
RUN = f"{PYTHON} -u until_go.py"
SAVE_EVERY = 20


@dataclass(frozen=True)
class LongJob:
    stage: Stage
    name: str
    id: str

    @property
    def _track(self) -> Path:
        return self.stage.folder / f"{self.name}.track"

    def steps(self) -> list[tuple[int, int]]:
        return track(self._track)

    def last(self) -> int:
        steps = self.steps()
        return steps[-1][1] if steps else 0

    def trains_on(self, steps: int = 20) -> None:
        at = self.last()
        self.stage.until(f"{self.name} trains on from step {at}", lambda: self.last() >= at + steps)

    def finishes(self) -> None:
        """It is let go, and ends as a run that nothing ever happened to."""
        (self.stage.folder / f"{self.name}.go").touch()
        status = self.stage.until_state(self.id, "SUCCEEDED", "FAILED")
        assert status["state"] == "SUCCEEDED", self.stage.story(self.id)
        last = self.last()
        assert status["durable"]["step"] <= last
        into = self.stage.folder / f"{self.name}.result"
        self.stage.outlast("outputs", "get", self.id, into)
        assert (into / "result" / "total.txt").read_text() == str(sum(range(last + 1)))


def submit(stage: Stage, name: str, step_s: float = 0.1) -> LongJob:
    env = {
        "STEPS": "0",
        "SAVE_EVERY": str(SAVE_EVERY),
        "STEP_S": str(step_s),
        "TRACK": str(stage.folder / f"{name}.track"),
        "GO": str(stage.folder / f"{name}.go"),
    }
    job = stage.submit(name, {"until_go.py": UNTIL_GO}, run=RUN, env=env, outputs=["result"])
    return LongJob(stage, name, job)
