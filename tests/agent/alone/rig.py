"""Lone agents as real processes: each in a folder of its own, as on a machine of its own, on one storage."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.agent.node.agent_kit import gone

from outlast.alone.link import OWNER
from outlast.bucket.client import open_bucket, scoped
from outlast.bucket.generations import read_pointer
from outlast.ports import Bucket
from outlast.protocol.objects import Pointer, job_prefix

LAUNCHER = Path(__file__).with_name("launcher.py")
WAIT_S = 60.0
LEASE_S = 4.0
NAME = "tiny"
NOTHING: Mapping[str, str] = MappingProxyType({})

# Counts; tells TRACK what it does; goes on until LAST, or until `finish` lies beside TRACK.
TRAINER = """
import os, signal, sys, time
from pathlib import Path
import outlast
from outlast.checkpoint_files import write

root, track = Path(os.environ["OUTLAST_CHECKPOINT_DIR"]), Path(os.environ["TRACK"])
me = os.environ["OUTLAST_GENERATION"]
start = os.environ.get("OUTLAST_RESUME_FROM")
step = int((Path(start) / "step.txt").read_text()) if start else 0


def tell(*words):
    with track.open("a") as file:
        file.write(" ".join(map(str, (me, *words))) + "\\n")


tell("pid", os.getpid())
tell("began", step)
print("starting at", step, flush=True)
while step < int(os.environ.get("LAST", "1000000")) and not track.with_name("finish").exists():
    while outlast.should_save():
        write(root, step, lambda folder: (folder / "step.txt").write_text(str(step)))
    step += 1
    time.sleep(0.02)
    outlast.log(step=step)
    tell("step", step)
    if os.environ.get("CRASH_AT") == str(step):
        sys.exit(3)
    if step % 10 == 0:
        write(root, step, lambda folder: (folder / "step.txt").write_text(str(step)))
outlast.done()
"""


class Place:
    """A folder in which `agent run` is started, again and again if wanted."""

    def __init__(self, rig: Rig, name: str) -> None:
        self.rig = rig
        self.folder = rig.folder / name
        self.folder.mkdir()
        (self.folder / "train.py").write_text(rig.trainer)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str, lease_s: float = LEASE_S, keys: Mapping[str, str] = NOTHING) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("OUTLAST_", "AWS_"))}
        told = ["--storage", self.rig.storage, "--name", NAME, *options]
        with (self.folder / "out").open("ab") as out, (self.folder / "err").open("ab") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-I", str(LAUNCHER), str(lease_s), *told, "--", sys.executable, "train.py"],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True,
                env={**inherited, "TRACK": str(self.rig.track_file), **self.rig.keys, **keys},
            )  # fmt: skip

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def ends(self) -> int:
        """Its exit status."""
        assert self.process is not None
        return self.process.wait(WAIT_S)

    def run(self, *options: str, **keys: str) -> int:
        self.start(*options, keys=keys)
        return self.ends()

    def says(self) -> str:
        return (self.folder / "err").read_text()

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(WAIT_S)


class Rig:
    def __init__(
        self, folder: Path, storage: str = "", keys: Mapping[str, str] = NOTHING, trainer: str = TRAINER
    ) -> None:
        self.folder = folder
        self.keys = keys
        self.trainer = trainer
        self.track_file = folder / "track"
        self.places: list[Place] = []
        (folder / "bucket").mkdir()
        self.storage = storage or f"file://{folder / 'bucket'}"

    def place(self, name: str) -> Place:
        place = Place(self, name)
        self.places.append(place)
        return place

    def bucket(self, options: Mapping[str, str] = NOTHING) -> Bucket:
        return scoped(open_bucket(self.storage, options=options), job_prefix(NAME))

    def pointer(self) -> Pointer | None:
        read = read_pointer(self.bucket(), OWNER, NAME)
        return read[0] if read is not None else None

    def head(self) -> int:
        pointer = self.pointer()
        return pointer.head.step if pointer is not None and pointer.head is not None else 0

    def told(self, word: str, generation: int | None = None) -> list[int]:
        """What the trainers noted under that word, in order."""
        try:
            rows = [line.split() for line in self.track_file.read_text().splitlines()]
        except FileNotFoundError:
            return []
        whole = [row for row in rows if len(row) == 3]
        return [int(row[2]) for row in whole if row[1] == word and generation in (None, int(row[0]))]

    def finish(self) -> None:
        (self.folder / "finish").touch()

    def goes_on(self) -> None:
        head = self.head()
        self.until("a newer checkpoint is durable", lambda: self.head() > head)

    def until(self, what: str, true: Callable[[], Any], limit_s: float = WAIT_S) -> Any:
        end_s = time.monotonic() + limit_s
        while not (found := true()):
            if time.monotonic() > end_s:
                raise AssertionError(f"not within {limit_s:.0f} s: {what}\n{self.story()}")
            time.sleep(0.05)
        return found

    def stand_still(self, place: Place) -> None:
        """Not in the middle of a write: in a folder, the kernel's lock of one would keep everybody out."""
        while True:
            place.signal(signal.SIGSTOP)
            if not self._locked():
                return
            place.signal(signal.SIGCONT)
            time.sleep(0.05)

    def _locked(self) -> bool:
        for path in (self.folder / "bucket" / ".outlast" / "locks").glob("*"):
            with path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return True
        return False

    def story(self) -> str:
        told = [f"pointer: {self.pointer()}"]
        for place in self.places:
            told += [f"--- {place.folder.name}", place.says()[-3000:]]
        return "\n".join(told)

    def close(self) -> None:
        for place in self.places:
            place.close()
        self.until("every trainer is dead", lambda: all(gone(pid) for pid in self.told("pid")))
