"""The agent's folder on the node: where each thing lies, and the few facts that must outlive the process."""

from __future__ import annotations

import os
from pathlib import Path

from outlast.node_ports import NodeMemory, NodeTrouble
from outlast.protocol.codec import FormatError, dump, load

ALIVE = "alive"
POWER_OFF = "power-off"
MEMORY = "memory.json"
PACKAGE = Path(__file__).parents[1]


class Home:
    """Names of folders and files; nothing is created before it is needed.

    `folder`: a working folder that is there already; without it each packed one gets a folder of its own.
    """

    def __init__(self, root: Path, folder: Path | None = None) -> None:
        self.root = root
        self.folder = folder
        self.work = root / "work"
        self.attempts = root / "attempts"
        self.staging = root / "staging"  # stable copies of saves
        self.restoring = root / "restoring"
        self.logs = root / "logs"
        self.setups = root / "setups"
        self.environments = root / "environments"
        self.trainer_lock = root / "trainer.lock"
        self.setup_lock = root / "setup.lock"

    def prepare(self) -> None:
        """Raises OSError."""
        for folder in (self.root, self.work, self.attempts, self.logs, self.setups, self.environments):
            folder.mkdir(parents=True, exist_ok=True)

    def sweep(self) -> None:
        """Removes what an earlier agent was killed over while it wrote it; nobody else runs here now."""
        for pattern in (".*.new", "setups/.*.new", "environments/.*.json.*.new", "attempts/*/.*.new"):
            for litter in self.root.glob(pattern):
                litter.unlink(missing_ok=True)

    def own_package(self) -> str:
        """A folder with nothing but this package in it, for a trainer whose Python does not find it; ""."""
        link = self.root / "package" / PACKAGE.name
        try:
            link.parent.mkdir(exist_ok=True)
            if not link.exists():
                link.symlink_to(PACKAGE)
        except OSError:
            return ""
        return str(link.parent)

    def attempt_dir(self, generation: int) -> Path:
        return self.attempts / f"g{generation}"

    def work_dir(self, code: str) -> Path:
        """One folder for each packed working folder; what setup and trainer wrote stays with it."""
        if self.folder is not None:
            return self.folder
        return self.work / (code.removeprefix("code/")[:16] or "empty")


def write_atomic(path: Path, body: bytes, *, durable: bool = True) -> None:
    """A reader sees the old file or the new one. `durable`: it survives a power cut on return."""
    temp = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with temp.open("wb") as file:
            file.write(body)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temp, path)
    except OSError:
        temp.unlink(missing_ok=True)
        raise
    if durable:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class HomeDisk:
    """The port `Disk` over a home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def load(self) -> NodeMemory:
        path = self._home.root / MEMORY
        try:
            return load(NodeMemory, path.read_bytes())
        except FileNotFoundError:
            return NodeMemory()
        except (OSError, FormatError) as error:
            # Without it a late claim of an earlier life would not be known as our own.
            raise NodeTrouble("claim", f"{path} can't be read: {error}") from error

    def save(self, memory: NodeMemory) -> None:
        try:
            write_atomic(self._home.root / MEMORY, dump(memory))
        except OSError as error:
            raise NodeTrouble("claim", f"the writer can't be put on this disk: {error}") from error

    def alive(self) -> None:
        try:
            (self._home.root / ALIVE).touch()
        except OSError as error:
            raise NodeTrouble("disk", str(error)) from error
