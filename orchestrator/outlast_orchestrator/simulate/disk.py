"""What lies on a simulated machine's disk, and the node ports that read and write it.

It outlives the agent's process, and dies with the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from outlast.bucket.manifest import hash_bytes
from outlast.node_ports import Ear, NodeMemory, OutputFile, Places, Quarantined, SaveLook, SaveSeen
from outlast.protocol.messages import Work
from outlast.protocol.objects import Confidence, FileEntry, Manifest
from outlast.save.types import StableCopy, StableFile
from outlast_orchestrator.simulate.clock import SimClock

Files = dict[str, bytes]
CHECKPOINTS = "/node/checkpoints"
BAD_MARK = b'"state": "bad"'
LOG_BYTES_MAX = 1 << 20


@dataclass(frozen=True)
class BytesSource:
    """The simulation's `outlast.ports.Source`."""

    body: bytes

    @property
    def size(self) -> int:
        return len(self.body)

    def read(self, offset: int, length: int) -> bytes:
        return self.body[offset : offset + length]


@dataclass
class NodeDisk:
    """All that is on it."""

    memory: NodeMemory = field(default_factory=NodeMemory)
    staged: dict[str, bytes] = field(default_factory=dict)  # arriving, by the object's key
    folders: dict[str, Files] = field(default_factory=dict)  # restored checkpoints by path
    saves: list[tuple[int, Files]] = field(default_factory=list)  # the trainer's, in order
    outputs: Files = field(default_factory=dict)
    log: bytearray = field(default_factory=bytearray)
    prepared: bool = False
    alive_s: float = 0.0  # when the agent last touched the dead-man switch's file; until then the boot
    touched: bool = False  # that file is there

    def saved(self, step: int, files: Files) -> None:
        self.saves.append((step, files))


def is_bad(files: Files) -> bool:
    """The state in it was lost."""
    return any(BAD_MARK in body for body in files.values())


class SimWorkplace:
    """The simulation's `outlast.node_ports.Workplace`."""

    def __init__(self, clock: SimClock, disk: NodeDisk, setup_s: float) -> None:
        self._clock = clock
        self._disk = disk
        self._setup_s = setup_s

    def prepare(self, work: Work, cancelled: Callable[[], bool], ear: Ear) -> str:
        del work, cancelled, ear
        if self._disk.prepared:
            self._clock.step()
            return "was prepared before"
        self._clock.sleep(self._setup_s)
        self._disk.prepared = True
        return "set up"

    def places(self, work: Work, generation: int) -> Places:
        del work
        return Places("/node", CHECKPOINTS, f"/node/attempts/{generation}")

    def sink(self, work: Work) -> SimSink:
        del work
        return SimSink(self._clock, self._disk)

    def resume_from(self, work: Work, manifest: Manifest) -> str:
        del work
        return f"{CHECKPOINTS}/{manifest.name}"


class SimSink:
    """The simulation's `outlast.restore.Sink`."""

    def __init__(self, clock: SimClock, disk: NodeDisk) -> None:
        self._clock = clock
        self._disk = disk

    def open(self, manifest: Manifest, entry: FileEntry) -> bool:
        del manifest
        return entry.key in self._disk.staged

    def read(self, entry: FileEntry, offset: int, length: int) -> Iterator[bytes]:
        yield self._disk.staged[entry.key][offset : offset + length]

    def write(self, entry: FileEntry, offset: int, chunks: Iterator[bytes | memoryview]) -> int:
        body = b"".join(chunks)
        self._clock.step()
        before = self._disk.staged.get(entry.key, b"").ljust(offset, b"\0")
        self._disk.staged[entry.key] = before[:offset] + body + before[offset + len(body) :]
        return len(body)

    def place(self, manifest: Manifest) -> None:
        self._clock.step()
        staged = self._disk.staged
        self._disk.folders[f"{CHECKPOINTS}/{manifest.name}"] = {f.path: staged[f.key] for f in manifest.files}

    def settle(self, manifest: Manifest) -> None:
        """A simulated disk keeps what was written."""


class SimSaves:
    """The simulation's `outlast.node_ports.Saves`: every save of a simulated trainer is whole, and its health
    gate knows a lost state when it sees one."""

    def __init__(self, clock: SimClock, disk: NodeDisk) -> None:
        self._clock = clock
        self._disk = disk
        self._seen = 0

    def begin(self, work: Work, resume: Manifest | None, label: str) -> tuple[str, ...]:
        del work, resume, label
        self._clock.step()
        aside = tuple(f"the save of step {step}" for step, _ in self._disk.saves)
        self._disk.saves.clear()
        self._seen = 0
        return aside

    def scan(self, look: SaveLook) -> SaveSeen:
        del look
        self._clock.step()
        saves = self._disk.saves
        if len(saves) <= self._seen:
            return SaveSeen()
        found, self._seen = saves[self._seen :], len(saves)
        refused: list[Quarantined] = []
        copy: StableCopy | None = None
        while found and copy is None:
            step, files = found.pop()
            if is_bad(files):
                refused.insert(0, Quarantined(step, f"step {step} is quarantined"))
                continue
            stable = tuple(StableFile(path, BytesSource(files[path])) for path in sorted(files))
            copy = StableCopy(step, "simulated", Confidence.STRONG, stable, lambda: None)
        return SaveSeen(copy, quarantined=tuple(refused))

    def committed(self, copy: StableCopy) -> None:
        """Simulated saves are always whole: there is nothing to learn from one."""


class SimOutputs:
    """The simulation's `outlast.node_ports.Outputs`."""

    def __init__(self, clock: SimClock, disk: NodeDisk) -> None:
        self._clock = clock
        self._disk = disk

    def scan(self, patterns: tuple[str, ...], *, quiet: bool) -> tuple[OutputFile, ...]:
        del quiet
        self._clock.step()
        if not patterns:
            return ()
        return tuple(
            OutputFile(path, len(body), hash_bytes(body), BytesSource(body))
            for path, body in sorted(self._disk.outputs.items())
        )

    def has(self, path: str, size: int, digest: str) -> bool:
        body = self._disk.outputs.get(path)
        return body is not None and len(body) == size and hash_bytes(body) == digest

    def write(self, path: str, chunks: Iterable[bytes | memoryview]) -> None:
        self._disk.outputs[path] = b"".join(chunks)
        self._clock.step()


class SimLogs:
    """The simulation's `outlast.node_ports.LogShip`."""

    def __init__(self, disk: NodeDisk) -> None:
        self._disk = disk

    def say(self, line: str) -> None:
        if len(self._disk.log) < LOG_BYTES_MAX:
            self._disk.log += line.encode() + b"\n"

    def peek(self, limit_bytes: int) -> bytes:
        return bytes(self._disk.log[:limit_bytes])

    def shipped(self, count: int) -> None:
        del self._disk.log[:count]


class SimDisk:
    """The simulation's `outlast.node_ports.Disk`."""

    def __init__(self, clock: SimClock, disk: NodeDisk) -> None:
        self._clock = clock
        self._disk = disk

    def load(self) -> NodeMemory:
        self._clock.step()
        return self._disk.memory

    def save(self, memory: NodeMemory) -> None:
        self._clock.step()
        self._disk.memory = memory
        self._clock.step()

    def alive(self) -> None:
        self._disk.alive_s, self._disk.touched = self._clock.now_s, True
