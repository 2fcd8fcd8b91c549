"""`outlast.Checkpointer`: saves and restores a torch training loop bit for bit, data order included."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from outlast import checkpoint_files, trainer_contract
from outlast.clock import SystemRuntime
from outlast.integrations.torch_state import (
    generators,
    load_object,
    rng_state,
    set_generators,
    set_rng_state,
    shelf,
    software,
)
from outlast.save.marker import folder_name
from outlast.state_tree import flatten, unflatten
from outlast.trainer_contract import SaveRequest
from outlast.training import CheckpointError, Contact, Preempted, contact

STATE = "state.json"
TENSORS = "tensors.safetensors"
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h)")

_OS_ERROR = re.compile(r"os error (\d+)")

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
        self.root = Path(dir or os.environ.get(trainer_contract.CHECKPOINT_DIR) or "checkpoints").absolute()
        self.values: dict[str, Any] = {}
        self.epoch = 0  # passes over the data that are over
        self._every_steps, self._every_s = _cadence(every)
        self._keep = keep
        self._objects: dict[str, Any] = {}
        for name, value in state.items():
            stateful = hasattr(value, "state_dict") and hasattr(value, "load_state_dict")
            (self._objects if stateful else self.values)[name] = value
        self._own: set[int] = set()  # steps saved by this process: the only ones it may delete
        self._saved: int | None = None
        self._clock = SystemRuntime()
        self._saved_at_s = self._clock.monotonic_s()
        self._pass: dict[str, Any] | None = None  # the pass over the data that is under way
        self._loader: Any = None
        self._resumed: dict[str, Any] | None = None  # what the next `batches` has to take up

    def restore(self) -> int:
        """Loads the checkpoint to resume from; returns the next step, 0 on a fresh start.

        The agent says which one it is. Without an agent it is the newest complete one in the folder.
        Raises CheckpointError; never starts from 0 because a checkpoint could not be read.
        """
        folder = self._resume_from()
        if folder is None:
            return 0
        marker = checkpoint_files.verify(folder)
        state = self._read(folder)
        missing = sorted(set(self._objects) ^ set(state["objects"]))
        if missing:
            raise CheckpointError(
                f"{folder}: {missing[0]!r} is not in both the checkpoint and Checkpointer(…)"
            )
        for name, target in self._objects.items():
            load_object(name, target, state["objects"][name])
        self.values.update(state["values"])
        self.epoch = state["epoch"]
        self._resumed = {"pass": state["pass"], "rng": state["rng"]}
        set_rng_state(state["rng"])
        if state["software"] != software():
            _log.warning(
                "%s was written by %s, this is %s: not bit for bit", folder, state["software"], software()
            )
        self._saved = marker.step
        self._saved_at_s = self._clock.monotonic_s()
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
                checkpoint_files.verify(folder)
            except CheckpointError as error:
                _log.warning("not resumed from: %s", error)
            else:
                return folder
        return None

    def batches(self, loader: Any) -> Iterator[Any]:
        """One pass over the data. A resumed pass begins with the first batch that was not consumed yet.

        Shuffling draws from the random generators when the iterator is made, so the pass is made from the
        state that it began with; only then are the generators set to the state of the save.
        """
        resumed, self._resumed = self._resumed, None
        old: dict[str, Any] | None = resumed["pass"] if resumed is not None else None
        rng: Any = resumed["rng"] if resumed is not None else None
        self._loader = loader
        if old is None:
            if rng is not None:
                set_rng_state(rng)  # what ran since the restore may have drawn from them
            self._pass = {"consumed": 0, "rng": rng_state(), "generators": generators(loader), "loader": None}
            iterator = iter(loader)
        else:
            self._pass = old
            iterator = self._take_up(loader, old)
            set_rng_state(rng)
        position = self._pass
        try:
            for batch in iterator:
                position["consumed"] += 1
                yield batch
        finally:
            if self._pass is position:
                self._pass, self._loader = None, None
                self.epoch += 1

    def _take_up(self, loader: Any, old: dict[str, Any]) -> Iterator[Any]:
        if old["loader"] is not None:
            loader.load_state_dict(old["loader"])
            resumed: Iterator[Any] = iter(loader)
            return resumed
        now = old.get("generators_now", {})
        set_rng_state(old["rng"])
        set_generators(loader, old["generators"])
        iterator: Iterator[Any] = iter(loader)
        for number in range(old["consumed"]):
            if next(iterator, self) is self:
                raise CheckpointError(
                    f"the data ended at batch {number}; {old['consumed']} were consumed before"
                )
        set_generators(loader, now)
        return iterator

    def step(self, n: int, **metrics: float) -> None:
        """Step `n` is finished: tells it, and saves when a save is due or asked for.

        When the machine is being taken, it saves, waits until that is durable, and raises Preempted.
        """
        here = contact()
        here.log(n, metrics)
        request = here.request()
        if request is None:
            if self._due(n):
                self._try_save(n)
            return
        folder = self._try_save(n, request.id)
        self._tell(here, request, n if folder is not None else None, folder)

    def _tell(self, here: Contact, request: SaveRequest, step: int | None, folder: Path | None) -> None:
        here.answer(request, step, str(folder or ""), leaving=request.final)
        if request.final:
            raise Preempted(request.why)

    def _due(self, n: int) -> bool:
        if self._every_steps is not None:
            return (n + 1) % self._every_steps == 0
        if self._every_s is not None:
            return self._clock.monotonic_s() - self._saved_at_s >= self._every_s
        return False

    def _try_save(self, n: int, request: str = "") -> Path | None:
        """A full disk costs this save, not the training."""
        try:
            return self.save(n, request)
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            _log.error("step %d could not be saved: %s; training goes on", n, error)
            return None

    def save(self, n: int, request: str = "") -> Path:
        """Saves the state after step `n`; durable on return. Raises CheckpointError, OSError."""
        if n == self._saved and n in self._own:
            return self.root / folder_name(n)
        tensors: dict[str, torch.Tensor] = {}
        state = self._flat_state(tensors, n)

        def fill(folder: Path) -> None:
            _write_tensors(tensors, folder / TENSORS)
            (folder / STATE).write_text(json.dumps(state, separators=(",", ":"), allow_nan=False))

        folder = checkpoint_files.write(self.root, n, fill, request)
        self._own.add(n)
        self._saved, self._saved_at_s = n, self._clock.monotonic_s()
        checkpoint_files.prune(self.root, self._keep, self._own)
        return folder

    def _flat_state(self, tensors: dict[str, torch.Tensor], n: int) -> Any:
        shelved = shelf(tensors)
        position = dict(self._pass) if self._pass is not None else None
        rng = rng_state()
        if self._resumed is not None:  # no pass was begun since the restore: nothing was consumed
            position = self._resumed["pass"]
            if n == self._saved:  # nor was a step made: what ran since may have drawn from the generators
                rng = self._resumed["rng"]
        elif position is not None:
            position["generators_now"] = generators(self._loader)
            if hasattr(self._loader, "state_dict") and hasattr(self._loader, "load_state_dict"):
                position["loader"] = self._loader.state_dict()
        rest = {"epoch": self.epoch, "pass": position, "rng": rng, "software": software()}
        flat = {name: flatten(value, name, shelved) for name, value in rest.items()}
        flat["values"] = flatten(self.values, "values", shelved)
        objects = {name: target.state_dict() for name, target in self._objects.items()}
        flat["objects"] = {"dict": [[name, flatten(value, name, shelved)] for name, value in objects.items()]}
        return flat

    def _read(self, folder: Path) -> dict[str, Any]:
        try:
            flat = json.loads((folder / STATE).read_bytes())
            # A clone: the file's own mapping would tie the training to a file that may be deleted.
            with safe_open(folder / TENSORS, framework="pt", device="cpu") as file:

                def tensor(name: str) -> torch.Tensor:
                    found: torch.Tensor = file.get_tensor(name)
                    return found.clone()

                return {name: unflatten(value, tensor) for name, value in flat.items()}
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise CheckpointError(f"{folder} can't be read: {error}") from error


def _write_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """safetensors tells a full disk in words only; the caller needs the number."""
    try:
        save_file(tensors, path)
    except SafetensorError as error:
        code = _OS_ERROR.search(str(error))
        if code is None:
            raise CheckpointError(f"{path} could not be written: {error}") from error
        raise OSError(int(code[1]), str(error), str(path)) from error


def _cadence(every: int | str | None) -> tuple[int | None, float | None]:
    """Steps and seconds between saves, of which at most one is set. Raises CheckpointError."""
    if every is None:
        return None, None
    if isinstance(every, int) and every > 0:
        return every, None
    match = _DURATION.fullmatch(every.strip()) if isinstance(every, str) else None
    if match is None or float(match[1]) <= 0:
        raise CheckpointError(f'every={every!r}: give a number of steps, or a time such as "10m" or "90s"')
    return None, float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]
