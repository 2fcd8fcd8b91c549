"""One save at a time on its way from the training's memory to the disk, and which saves are our own."""

from __future__ import annotations

import enum
import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

from outlast.checkpoint_files import temp_name
from outlast.clock import SystemRuntime
from outlast.integrations.torch_contents import Contents
from outlast.integrations.torch_ranks import Ranks
from outlast.integrations.torch_staging import Staging
from outlast.save.marker import folder_name
from outlast.writing.arena import Arena
from outlast.writing.client import Writer
from outlast.writing.plan import SavePlan, SaveResult

NONCE_BYTES = 4

_log = logging.getLogger("outlast")


class Phase(enum.Enum):
    IDLE = "idle"
    PARTS = "parts"  # every rank's writer makes its files durable; alone, it commits them as well
    COMMIT = "commit"  # all have: rank 0's writer marks the folder and renames it


class Saver:
    """Copies at `begin`; the writer process does the rest. `look` and `settle` say what became of it.

    All ranks are in the same phase: they change it in `settle`, by what they have agreed on.
    """

    def __init__(self, root: Path, keep: int, ranks: Ranks) -> None:
        self.root = root
        self.own: set[int] = set()  # steps saved by this training: the only ones it may delete
        self.phase = Phase.IDLE
        self._ranks = ranks
        self._keep = keep
        self._arena = Arena()
        self._staging = Staging(self._arena)
        self._writer = Writer(self._arena)
        self._nonce = ranks.gather(SystemRuntime().token(NONCE_BYTES))[0]
        self._count = 0
        self._newest: int | None = None
        self._plan = SavePlan(str(root), "", 0, 0)
        self._part: SaveResult | None = None  # what became of this rank's part of the phase
        self._owner = os.getpid()

    @property
    def busy(self) -> bool:
        return self.phase is not Phase.IDLE

    @property
    def state(self) -> tuple[int, int]:
        """For `Ranks.most`: this rank is not through with its part; it has failed."""
        if not self.busy:
            return 0, 0
        return int(self._part is None), int(self._part is not None and bool(self._part.error))

    def knows(self, step: int) -> None:
        """A checkpoint that was restored: files that have not changed since are linked, not written."""
        self._newest = step

    def begin(self, step: int, contents: Contents, request: str = "") -> None:
        """On return the training may go on: what it changes is not in the save."""
        self._count += 1
        kept = sorted(self.own | {step})
        plan = SavePlan(
            root=str(self.root),
            temp=temp_name(step, f"{self._nonce}{self._count}"),
            step=step,
            arena_bytes=0,
            request=request,
            before=self._newest,
            commit=not contents.spread,
            drop=tuple(kept[: -self._keep]) if self._keep > 0 else (),
        )
        self.phase, self._part, self._plan = Phase.PARTS, None, plan
        if not contents.tensors and not contents.texts:
            self._part = SaveResult(step)  # another rank has it all
            return
        try:
            files = self._staging.stage(contents.tensors, contents.groups, contents.texts)
            self._writer.submit(replace(plan, files=files, arena_bytes=self._arena.size))
        except OSError as error:
            self._part = SaveResult(step, str(error), error.errno or 0)

    def look(self, timeout_s: float | None) -> None:
        """Takes note of what the writer process has done. `timeout_s` None: waits for it."""
        self._part = self._writer.poll(timeout_s) or self._part

    def settle(self, busy: int, failed: int) -> SaveResult | None:
        """Goes on by what all ranks say; the outcome of the save, once."""
        if self.phase is Phase.IDLE or busy:
            return None
        phase, self.phase = self.phase, Phase.IDLE
        if failed:
            return self._failed()
        if phase is Phase.PARTS and not self._plan.commit:
            self._commit()
            return None
        self.own = (self.own | {self._plan.step}) - set(self._plan.drop)
        self._newest = self._plan.step
        return SaveResult(self._plan.step)

    def _commit(self) -> None:
        parts = self._ranks.gather(self._part)
        self.phase, self._part = Phase.COMMIT, None
        if not self._ranks.leads:
            self._part = SaveResult(self._plan.step)
            return
        files = tuple(file for part in parts for file in part.files)
        try:
            self._writer.submit(replace(self._plan, others=files, commit=True))
        except OSError as error:
            self._part = SaveResult(self._plan.step, str(error), error.errno or 0)

    def _failed(self) -> SaveResult:
        """The same on all ranks, so that they do the same about it."""
        parts = self._ranks.gather(self._part)
        rank, part = next((rank, part) for rank, part in enumerate(parts) if part.error)
        if self._ranks.leads:
            shutil.rmtree(self.root / self._plan.temp, ignore_errors=True)
        where = f"rank {rank}: " if self._ranks.world > 1 else ""
        failed: SaveResult = replace(part, error=where + part.error)
        return failed

    def folder(self, step: int) -> Path:
        return self.root / folder_name(step)

    def close(self) -> None:
        """Waits for this rank's part of the save under way, and lets the writer process end."""
        if os.getpid() != self._owner:
            return  # a forked worker's copy of this object
        self.look(None)
        if self.busy and self._part is not None and self._part.error:
            _log.error("the last save came to nothing: %s", self._part.error)
        self._writer.close()
