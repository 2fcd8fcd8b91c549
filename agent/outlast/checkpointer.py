"""`outlast.Checkpointer`: saves and restores a torch training loop bit for bit, data order included."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from outlast import checkpoint_files, trainer_contract
from outlast.clock import SystemRuntime
from outlast.integrations.torch_data import DataPosition
from outlast.integrations.torch_saving import STATE, Saver
from outlast.integrations.torch_staging import FROZEN
from outlast.integrations.torch_state import frozen_storages, load_object, shelf, software
from outlast.rhythm import rhythm_of
from outlast.save.marker import Marker, folder_name
from outlast.state_tree import flatten, unflatten
from outlast.trainer_contract import SaveRequest
from outlast.training import CheckpointError, Contact, Preempted, contact
from outlast.writing.layout import SUFFIX
from outlast.writing.plan import SaveResult

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FINAL_TRIES = 2  # a writer process that was killed is started once more while the machine is being taken

_log = logging.getLogger("outlast")


class Checkpointer:
    """Everything that a training needs in order to go on: models, optimizers, plain values, RNG, position.

    `every`: steps as a whole number, or a time such as "10m"; None: only when the agent asks. Objects with
    `state_dict` and `load_state_dict` are saved by it; everything else is a plain value, to be read and
    set in `values`.
    """

    def __init__(
        self,
        *,
        every: int | str | None = "10m",
        dir: str | Path | None = None,  # noqa: A002  # the word of the job file
        keep: int = 3,
        **state: Any,
    ) -> None:
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise CheckpointError("Checkpointer does not work in several processes (WORLD_SIZE > 1) yet")
        root = Path(dir or os.environ.get(trainer_contract.CHECKPOINT_DIR) or "checkpoints").absolute()
        self.values: dict[str, Any] = {}
        self._rhythm = rhythm_of(every)
        self._objects: dict[str, Any] = {}
        for name, value in state.items():
            stateful = hasattr(value, "state_dict") and hasattr(value, "load_state_dict")
            (self._objects if stateful else self.values)[name] = value
        self._saver = Saver(root, keep)
        self._saved: int | None = None  # the last durable step, or the restored one
        self._saving: tuple[int, SaveRequest | None] | None = None  # under way
        self._position = DataPosition()
        self._clock = SystemRuntime()
        self._began_at_s = self._clock.monotonic_s()
        weakref.finalize(self, self._saver.close)

    @property
    def root(self) -> Path:
        """The folder that checkpoints lie in."""
        return self._saver.root

    @property
    def epoch(self) -> int:
        """Passes over the data that are over."""
        return self._position.epoch

    def restore(self) -> int:
        """Loads the checkpoint to resume from; returns the next step, 0 on a fresh start.

        The agent says which one it is. Without an agent it is the newest complete one in the folder.
        Raises CheckpointError; never starts from 0 because a checkpoint could not be read.
        """
        folder = self._resume_from()
        if folder is None:
            return 0
        marker = checkpoint_files.verify(folder)
        state = _read(folder, marker)
        missing = sorted(set(self._objects) ^ set(state["objects"]))
        if missing:
            raise CheckpointError(
                f"{folder}: {missing[0]!r} is not in both the checkpoint and Checkpointer(…)"
            )
        for name, target in self._objects.items():
            load_object(name, target, state["objects"][name])
        self.values.update(state["values"])
        self._position.restore(state)
        if state["software"] != software():
            _log.warning(
                "%s was written by %s, this is %s: not bit for bit", folder, state["software"], software()
            )
        self._saved = marker.step
        if folder.parent == self.root:
            self._saver.knows(marker.step)
        self._began_at_s = self._clock.monotonic_s()
        return marker.step + 1

    def _resume_from(self) -> Path | None:
        told = os.environ.get(trainer_contract.RESUME_FROM)
        if told:
            return Path(told)
        if trainer_contract.GENERATION in os.environ:
            return None  # the agent knows of no checkpoint: whatever lies here is not this job's
        checkpoint_files.recover(self.root)
        for step in reversed(checkpoint_files.steps(self.root)):
            folder = self.root / folder_name(step)
            try:
                checkpoint_files.verify(folder, hashes=True)
            except CheckpointError as error:
                _log.warning("not resumed from: %s", error)
            else:
                return folder
        return None

    def batches(self, loader: Any) -> Iterator[Any]:
        """One pass over the data. A resumed pass begins with the first batch that was not consumed yet."""
        return self._position.batches(loader)

    def step(self, n: int, **metrics: float) -> None:
        """Step `n` is finished: tells it, and begins a save when one is due or asked for.

        The training waits for one copy in memory; the rest goes on beside it. When the machine is being
        taken, it saves, waits until that is durable, and raises Preempted.
        """
        here = contact()
        here.log(n, metrics)
        self._collect(0.0)
        request = here.request()
        if request is not None and request.final:
            self._leave(here, request, n)
        elif request is not None:
            if not self._saver.busy:  # else at a later step
                self._try_begin(n, request)
        elif self._rhythm.due(n, self._clock.monotonic_s() - self._began_at_s):
            if self._rhythm.steps is not None:
                self._collect(None)  # who counts steps wants those very steps
            if not self._saver.busy:
                self._try_begin(n)

    def save(self, n: int) -> Path:
        """Saves the state after step `n`; durable on return. Raises CheckpointError, OSError."""
        self._collect(None)
        if not self._has(n):
            self._begin(n)
            result = self._saver.poll(None)
            self._saving = None
            assert result is not None
            if result.error:
                raise _error_of(result)
            self._saved = n
        return self._saver.folder(n)

    def _has(self, n: int) -> bool:
        return n == self._saved and n in self._saver.own

    def _try_begin(self, n: int, request: SaveRequest | None = None) -> None:
        """A full disk or memory costs this save, not the training."""
        if request is not None and self._has(n):
            contact().answer(request, n, str(self._saver.folder(n)), leaving=False)
            return
        try:
            self._begin(n, request)
        except OSError as error:
            self._failed(n, request, SaveResult(n, str(error), error.errno or 0))

    def _begin(self, n: int, request: SaveRequest | None = None) -> None:
        """Raises CheckpointError: something in the state can't be saved; OSError."""
        tensors: dict[str, torch.Tensor] = {}
        state = json.dumps(self._flat_state(tensors, n), separators=(",", ":"), allow_nan=False).encode()
        frozen = frozen_storages(self._objects.values())
        groups = {name: FROZEN for name, tensor in tensors.items() if tensor.data_ptr() in frozen}
        self._began_at_s = self._clock.monotonic_s()
        self._saver.begin(n, tensors, groups, state, request.id if request is not None else "")
        self._saving = n, request

    def _collect(self, timeout_s: float | None) -> None:
        """Takes note of the save under way if it has come to an end; None: waits for that."""
        result = self._saver.poll(timeout_s)
        if result is None or self._saving is None:
            return
        (n, request), self._saving = self._saving, None
        if result.error:
            self._failed(n, request, result)
            return
        self._saved = n
        if request is not None:
            contact().answer(request, n, str(self._saver.folder(n)), leaving=False)

    def _failed(self, n: int, request: SaveRequest | None, result: SaveResult) -> None:
        """Raises OSError: the disk fails, and going on would train what can't be kept."""
        if request is not None:
            contact().answer(request, None, leaving=False)
        if result.errno and result.errno not in (*NO_SPACE, errno.ENOMEM):
            raise _error_of(result)
        _log.error("step %d could not be saved: %s; training goes on", n, result.error)

    def _leave(self, here: Contact, request: SaveRequest, n: int) -> None:
        """Raises Preempted, after step `n` is durable or can't be made so."""
        self._collect(None)
        for _ in range(FINAL_TRIES):
            if not self._has(n):
                self._try_begin(n)
                self._collect(None)
        saved = self._has(n)
        here.answer(request, n if saved else None, str(self._saver.folder(n)) if saved else "", leaving=True)
        raise Preempted(request.why)

    def _flat_state(self, tensors: dict[str, torch.Tensor], n: int) -> Any:
        shelved = shelf(tensors)
        untouched = n == self._saved and n not in self._saver.own
        rest = {**self._position.state(untouched=untouched), "software": software()}
        flat = {name: flatten(value, name, shelved) for name, value in rest.items()}
        flat["values"] = flatten(self.values, "values", shelved)
        objects = {name: target.state_dict() for name, target in self._objects.items()}
        flat["objects"] = {"dict": [[name, flatten(value, name, shelved)] for name, value in objects.items()]}
        return flat


def _read(folder: Path, marker: Marker) -> dict[str, Any]:
    try:
        flat = json.loads((folder / STATE).read_bytes())
        with contextlib.ExitStack() as stack:
            files: dict[str, Any] = {}
            for path in (file.path for file in marker.files if file.path.endswith(SUFFIX)):
                opened = stack.enter_context(safe_open(folder / path, framework="pt", device="cpu"))
                files.update(dict.fromkeys(opened.keys(), opened))

            def tensor(name: str) -> torch.Tensor:
                # A clone: the file's own mapping would tie the training to a file that may be deleted.
                found: torch.Tensor = files[name].get_tensor(name)
                return found.clone()

            return {name: unflatten(value, tensor) for name, value in flat.items()}
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(f"{folder} can't be read: {error}") from error


def _error_of(result: SaveResult) -> OSError | CheckpointError:
    if result.errno:
        return OSError(result.errno, result.error)
    return CheckpointError(f"step {result.step} could not be saved: {result.error}")
