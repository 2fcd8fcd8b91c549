"""Saves on a real machine: the watcher's eyes, and stable copies in the agent's own folder."""

from __future__ import annotations

from outlast.node.home import Home
from outlast.node_ports import NodeTrouble, SaveLook, SaveSeen
from outlast.ports import Runtime
from outlast.protocol.messages import Work
from outlast.protocol.objects import Manifest
from outlast.save.found import Found
from outlast.save.stable_copy import Changed, NoSpace, clear_staging, guarded, stable_copy
from outlast.save.tidy import Keep, tidy_before_start
from outlast.save.types import StableCopy
from outlast.save.watch import Watcher

NONCE_BYTES = 4


class FolderSaves:
    """The port `Saves`. The trainer's task calls `begin` before the finder looks for the first time."""

    def __init__(self, home: Home, runtime: Runtime, quiet_s: float | None = None) -> None:
        self._home = home
        self._runtime = runtime
        self._quiet_s = quiet_s
        self._watcher: Watcher | None = None
        self._found: dict[int, Found] = {}  # by id of the copy that was handed out
        clear_staging(home.staging)

    def begin(self, work: Work, resume: Manifest | None, label: str) -> tuple[str, ...]:
        root = self._home.work_dir(work.code) / work.checkpoint.dir
        keep = None
        if resume is not None:
            keep = Keep(resume.step, resume.kind, frozenset(file.path for file in resume.files))
        try:
            lines = tidy_before_start(root, keep, label)
        except OSError as error:
            raise NodeTrouble("trainer", f"{root} can't be made ready: {error}") from error
        plan = work.checkpoint
        watcher = Watcher(plan, root) if self._quiet_s is None else Watcher(plan, root, self._quiet_s)
        watcher.begin()
        if resume is not None:
            watcher.know(resume.step, resume.kind, [file.path for file in resume.files], resume.bytes)
        self._watcher = watcher
        self._found = {}
        return tuple(lines)

    def scan(self, look: SaveLook) -> SaveSeen:
        watcher = self._watcher
        if watcher is None:
            return SaveSeen()
        found = watcher.scan(
            self._runtime.monotonic_s(),
            look.pids,
            exited_badly=look.exited_badly,
            ended_well=look.ended_well,
            step_hint=look.step,
        )
        discarded = list(watcher.complaints())
        copy = self._copy(watcher, found[-1], discarded) if found else None
        discarded += [f"step {one.step}: step {found[-1].step} was complete as well" for one in found[:-1]]
        return SaveSeen(copy, tuple(discarded), bool(watcher.waiting))

    def _copy(self, watcher: Watcher, found: Found, discarded: list[str]) -> StableCopy | None:
        """Without room for a copy the trainer's own files are uploaded, watched for any change."""
        copy = stable_copy(found, self._home.staging, self._runtime.token(NONCE_BYTES))
        if isinstance(copy, NoSpace):
            discarded.append(f"{copy.why}: uploading the trainer's own files instead")
            copy = guarded(found)
        if isinstance(copy, Changed):
            discarded.append(copy.why)
            watcher.forget(found)
            return None
        assert isinstance(copy, StableCopy)
        self._found[id(copy)] = found
        return copy

    def committed(self, copy: StableCopy) -> None:
        found = self._found.pop(id(copy), None)
        if found is not None and self._watcher is not None:
            self._watcher.committed(found)
            self._found = {key: one for key, one in self._found.items() if one.step > found.step}
