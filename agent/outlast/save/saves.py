"""The node's `Saves`: look, stable copy and health gate over one real checkpoint folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from outlast.node_ports import NodeTrouble, Quarantined, SaveLook, SaveSeen
from outlast.ports import Runtime
from outlast.protocol.messages import FIRST_NODE, Work
from outlast.protocol.objects import Manifest
from outlast.save.found import Found
from outlast.save.gate import Gate, Verdict
from outlast.save.stable_copy import Changed, NoCopy, guarded, stable_copy
from outlast.save.tidy import Keep, set_aside, tidy_before_start
from outlast.save.types import StableCopy
from outlast.save.unseen import overdue, told
from outlast.save.watch import QUIET_S, Watcher

NONCE_BYTES = 4
HANDED_MAX = 16
PROBE = ".outlast-can-write"


class FolderSaves:
    """Used by one task. `staging` is best on the file system of the checkpoints: there links are free."""

    def __init__(
        self,
        runtime: Runtime,
        gate: Gate,
        root_of: Callable[[Work], Path],
        staging: Path,
        quiet_s: float = QUIET_S,
        python: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`python`: the interpreter of the trainer that is about to start, where the gate's is another."""
        self._runtime = runtime
        self._own_gate = self._gate = gate
        self._python = python
        self._root_of = root_of
        self._staging = staging
        self._quiet_s = quiet_s
        self._watcher: Watcher | None = None
        self._label = ""
        self._health: dict[str, str] = {}
        self._quarantined: list[Quarantined] = []  # by the scan under way, newest first
        self._before: str | None = None  # gate text of the newest durable checkpoint, else of the first save
        self._begun_s: float | None = None  # None: a checkpoint was seen, or it was told that none was
        self._handed: dict[str, Found] = {}  # by the copy's own mark, until it is durable

    def begin(self, work: Work, resume: Manifest | None, label: str) -> tuple[str, ...]:
        root, keep = self._root_of(work), None
        if resume is not None:
            keep = Keep(resume.step, resume.kind, frozenset(file.path for file in resume.files))
        try:
            _make_usable(root)
            lines = tidy_before_start(root, keep, label, work.checkpoint.pattern)
        except OSError as error:
            raise NodeTrouble("trainer", f"the checkpoint folder {root} can't be used: {error}") from error
        self._gate = replace(self._own_gate, python=self._python() or self._own_gate.python)
        self._watcher = Watcher(work.checkpoint, root, self._quiet_s)
        self._watcher.begin()
        if resume is not None:
            # Of a gang's checkpoint this node saves only a part: all its names and bytes say nothing of that.
            alone = resume.world_size == 1 or work.checkpoint.parts == FIRST_NODE
            files = resume.files if alone else ()
            self._watcher.know(
                resume.step, resume.kind, [file.path for file in files], resume.bytes if alone else None
            )
        self._label, self._handed, self._begun_s = label, {}, self._runtime.monotonic_s()
        self._health = work.checkpoint.health
        self._before = None if resume is None else resume.gate
        return tuple(lines)

    def scan(self, look: SaveLook) -> SaveSeen:
        if self._watcher is None:
            return SaveSeen()
        found = self._watcher.scan(
            self._runtime.monotonic_s(),
            look.pids,
            exited_badly=look.exited_badly,
            ended_well=look.ended_well,
            step_hint=look.step,
        )
        discarded = list(self._watcher.complaints())
        warnings = self._unseen(self._watcher, found, look)
        copy: StableCopy | None = None
        self._quarantined = []
        for one in reversed(found):
            if copy is not None:
                discarded.append(f"step {one.step} was replaced by step {copy.step} before it was copied")
                continue
            copy = self._take(self._watcher, one, discarded)
        free = None if copy is None else _free(self._watcher.root)
        pending, quarantined = bool(self._watcher.waiting), tuple(reversed(self._quarantined))
        return SaveSeen(copy, tuple(discarded), pending, warnings, free, quarantined)

    def _unseen(self, watcher: Watcher, found: list[Found], look: SaveLook) -> tuple[str, ...]:
        """Told once: a training whose saves are not recognised would be lost with its machine."""
        if found:
            self._begun_s = None
        if self._begun_s is None or look.exited_badly or look.ended_well:
            return ()
        trained_s = self._runtime.monotonic_s() - self._begun_s
        if not overdue(watcher.plan, trained_s):
            return ()
        self._begun_s = None
        names = [path.name for path in watcher.root.iterdir()] if watcher.root.is_dir() else []
        return (told(watcher.plan, str(watcher.root), names, watcher.waiting, trained_s),)

    def committed(self, copy: StableCopy) -> None:
        found = self._handed.pop(_mark(copy), None)
        if found is not None and self._watcher is not None:
            self._watcher.committed(found)
        self._before = copy.gate

    def _take(self, watcher: Watcher, found: Found, discarded: list[str]) -> StableCopy | None:
        copied = stable_copy(found, self._staging, self._runtime.token(NONCE_BYTES))
        if isinstance(copied, NoCopy):
            discarded.append(f"{copied.why}; it is uploaded from the trainer's own files instead")
            copied = guarded(found)
        if isinstance(copied, Changed):
            discarded.append(copied.why)
            watcher.forget(found)
            return None
        if found.warning:
            discarded.append(f"step {found.step} is used, but {found.warning}")
        result = self._gate.check(copied, self._before, self._health)
        if result.verdict is Verdict.QUARANTINE:
            copied.drop()
            why = f"step {found.step} is quarantined: {result.text}"
            self._quarantined.append(Quarantined(found.step, why, copied.begun_at))
            self._quarantine(watcher.root, found, discarded)
            return None
        if result.verdict is Verdict.WARN:
            discarded.append(f"step {found.step} is used, but: {result.text}")
        if self._before is None:
            self._before = result.text  # the next save may come before this one is durable
        copy = replace(copied, gate=result.text)
        self._handed[_mark(copy)] = found
        for mark in list(self._handed)[:-HANDED_MAX]:  # copies that a newer one replaced are never committed
            del self._handed[mark]
        return copy

    def _quarantine(self, root: Path, found: Found, discarded: list[str]) -> None:
        paths = [file.at for file in found.files] if found.at == root else [found.at]
        try:
            discarded += [set_aside(root, path, f"{self._label}-quarantined", "unhealthy") for path in paths]
        except OSError as error:
            discarded.append(f"step {found.step} could not be moved out of the trainer's folder: {error}")


def _free(root: Path) -> int | None:
    try:
        return shutil.disk_usage(root).free
    except OSError:
        return None  # unknown: whoever has trouble with this disk tells it himself


def _make_usable(root: Path) -> None:
    """Before a trainer has trained for hours it is known that it can save here. Raises OSError."""
    root.mkdir(parents=True, exist_ok=True)
    probe = root / PROBE
    probe.touch()
    probe.unlink()


def _mark(copy: StableCopy) -> str:
    """The loop may change what a copy says of itself (`final`), but not where it lies."""
    return f"{copy.step} {id(copy.drop)}"
