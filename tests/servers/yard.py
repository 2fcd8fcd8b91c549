"""Behind a cloud's server: a machine of its own for each instance, which boots with its user data."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from tests.servers.machine import Machine, machine, skip_without_machines

HERE = "10.213.255.254"  # this side's address for all machines, on the loopback
EVERY_S = 0.1


class Cloud(Protocol):
    """What the machines of one cloud follow, by its instances' ids."""

    def running(self) -> dict[str, str]:
        """The user data of each instance that runs, or is about to, by the cloud's own word."""
        ...

    def booted(self, instance: str, made: Machine) -> AbstractContextManager[None]:
        """It gets its address, and a metadata service for as long as it is there."""
        ...

    def ended_itself(self, instance: str) -> None:
        """Its operating system switched it off."""
        ...

    def take(self, instance: str) -> None:
        """The market takes it, and the cloud says why."""
        ...

    def notice(self, instance: str) -> None:
        """The market says that it will take it."""
        ...


C = TypeVar("C", bound=Cloud)


class Yard(Generic[C]):
    """Looks what became of a cloud's instances, and lets that happen to their machines."""

    def __init__(self, cloud: C, folder: Path) -> None:
        self.cloud = cloud
        self.machines: dict[str, Machine] = {}
        self._folder = folder
        self._ends: dict[str, ExitStack] = {}
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(1)
        self._work: Future[None] | None = None

    def take(self, instance: str) -> None:
        """Without a word: its machine is gone, and the cloud says why."""
        with self._lock:
            self.machines[instance].power_off()
            self.cloud.take(instance)

    def notice(self, instance: str) -> None:
        with self._lock:
            self.cloud.notice(instance)

    def running(self) -> list[str]:
        with self._lock:
            return [name for name, made in self.machines.items() if made.alive]

    def open(self) -> None:
        self._work = self._threads.submit(self._run)

    def close(self) -> None:
        """Raises what went wrong beside the test."""
        self._over.set()
        self._threads.shutdown()
        for stack in self._ends.values():
            stack.close()
        if self._work is not None:
            self._work.result()

    def _run(self) -> None:
        while not self._over.wait(EVERY_S):
            with self._lock:
                self._follow()

    def _follow(self) -> None:
        wanted = self.cloud.running()
        for name, text in wanted.items():
            if name not in self.machines:
                self._boot(name, text)
            elif not self.machines[name].alive:
                self.cloud.ended_itself(name)
        for name, made in self.machines.items():
            if name not in wanted and made.alive:
                made.power_off()

    def _boot(self, name: str, text: str) -> None:
        with ExitStack() as stack:
            made = stack.enter_context(machine(self._folder / name, text))
            stack.enter_context(self.cloud.booted(name, made))
            self.machines[name] = made
            self._ends[name] = stack.pop_all()


@contextmanager
def following(cloud: C, folder: Path) -> Iterator[Yard[C]]:
    made = Yard(cloud, folder)
    made.open()
    try:
        yield made
    finally:
        made.close()


def reach(folder: Path) -> None:
    """Makes `folder`, and HERE an address that machines reach; skips the test where there can't be any."""
    skip_without_machines()
    subprocess.run(["ip", "address", "replace", f"{HERE}/32", "dev", "lo"], check=True, capture_output=True)
    folder.mkdir()
