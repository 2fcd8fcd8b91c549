"""One save at a time on its way from the training's memory to the disk, and which saves are our own."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import torch

from outlast.checkpoint_files import temp_name
from outlast.clock import SystemRuntime
from outlast.integrations.torch_staging import Staging
from outlast.save.marker import folder_name
from outlast.writing.arena import Arena
from outlast.writing.client import Writer
from outlast.writing.plan import SavePlan, SaveResult

NONCE_BYTES = 4
STATE = "state.json"

_log = logging.getLogger("outlast")


class Saver:
    """Copies at `begin`; the writer process does the rest, and `poll` says what became of it."""

    def __init__(self, root: Path, keep: int) -> None:
        self.root = root
        self.own: set[int] = set()  # steps saved by this process: the only ones it may delete
        self._keep = keep
        self._arena = Arena()
        self._staging = Staging(self._arena)
        self._writer = Writer(self._arena)
        self._newest: int | None = None
        self._owner = os.getpid()

    @property
    def busy(self) -> bool:
        return self._writer.plan is not None

    def knows(self, step: int) -> None:
        """A checkpoint that was restored: files that have not changed since are linked, not written."""
        self._newest = step

    def begin(
        self,
        step: int,
        tensors: Mapping[str, torch.Tensor],
        groups: Mapping[str, str],
        state: bytes,
        request: str = "",
    ) -> None:
        """On return the training may go on. Raises OSError."""
        files = self._staging.stage(tensors, groups, {STATE: state})
        kept = sorted(self.own | {step})
        plan = SavePlan(
            root=str(self.root),
            temp=temp_name(step, SystemRuntime().token(NONCE_BYTES)),
            step=step,
            arena_bytes=self._arena.size,
            files=files,
            request=request,
            before=self._newest,
            drop=tuple(kept[: -self._keep]) if self._keep > 0 else (),
        )
        self._writer.submit(plan)

    def poll(self, timeout_s: float | None = 0.0) -> SaveResult | None:
        """The result of the save under way, once. `timeout_s` None: waits for it."""
        plan = self._writer.plan
        result = self._writer.poll(timeout_s)
        if plan is not None and result is not None and not result.error:
            self.own = (self.own | {plan.step}) - set(plan.drop)
            self._newest = plan.step
        return result

    def folder(self, step: int) -> Path:
        return self.root / folder_name(step)

    def close(self) -> None:
        """Waits for the save under way, and lets the writer process end."""
        if os.getpid() != self._owner:
            return  # a forked worker's copy of this object
        result = self.poll(None)
        if result is not None and result.error:
            _log.error("the last save came to nothing: %s", result.error)
        self._writer.close()
