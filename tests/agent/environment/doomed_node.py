"""A node that stands still at one point, to be killed there: `doomed_node.py FOLDER VERB NUMBER`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.agent.environment.machines import LARGE_INSTALL, Machines

from outlast.bucket.client import ScopedBucket, open_bucket
from outlast.ports import Source

REACHED = "reached"


class Standstill(ScopedBucket):
    """The `number`-th request of a kind for an environment never comes to its end."""

    def __init__(self, folder: Path, verb: str, number: int) -> None:
        super().__init__(open_bucket(f"file://{folder / 'bucket'}"), "")
        self._folder = folder
        self._verb = verb
        self._left = number

    def _at(self, verb: str, key: str) -> None:
        if verb == self._verb and key.startswith("env/"):
            self._left -= 1
            if self._left == 0:
                (self._folder / REACHED).touch()
                time.sleep(600)

    def create(self, key: str, body: bytes) -> str:
        self._at("create", key)
        return super().create(key, body)

    def upload(self, key: str, source: Source, wrote: Callable[[int], None]) -> None:
        self._at("upload", key)
        super().upload(key, source, lambda done: self._at("wrote", key) or wrote(done))  # type: ignore[func-returns-value]

    def stream(self, key: str, offset: int, length: int) -> Iterator[bytes | memoryview]:
        for chunk in super().stream(key, offset, length):
            self._at("stream", key)
            yield chunk


def main(folder: Path, verb: str, number: int) -> None:
    machines = Machines(folder, Standstill(folder, verb, number), install=LARGE_INSTALL)
    machines.prepare()
    machines.keep()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
