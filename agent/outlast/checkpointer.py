"""`outlast.Checkpointer`: saves and restores a torch training loop bit for bit, data order included."""

from __future__ import annotations

import errno
import logging
import os
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from outlast import checkpoint_files, trainer_contract
from outlast.clock import SystemRuntime
from outlast.integrations.torch_contents import contents_of, read_contents
from outlast.integrations.torch_data import DataPosition, position_of
from outlast.integrations.torch_ranks import Ranks
from outlast.integrations.torch_saving import Saver
from outlast.integrations.torch_state import load_object, software
from outlast.rhythm import rhythm_of
from outlast.save.marker import folder_name
from outlast.trainer_contract import SaveRequest
from outlast.training import CheckpointError, Preempted, contact
from outlast.writing.plan import SaveResult

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FINAL_TRIES = 2  # a writer process that was killed is started once more while the machine is being taken

_log = logging.getLogger("outlast")


class Checkpointer:
    """Everything that a training needs in order to go on: models, optimizers, plain values, RNG, position.

    `every`: steps as a whole number, or a time such as "10m"; None: only when the agent asks. Objects with
    `state_dict` and `load_state_dict` are saved by it; everything else is a plain value, to be read and
    set in `values`. Several processes of one training make it in each of them, and call everything together:
    tensors that are spread over them are saved by all, the rest and `values` by rank 0.

    `allow_pickle`: what fits into no JSON is pickled instead of refused; and what a checkpoint has pickled is
    loaded, which runs the code that it names.
    """

    def __init__(
        self,
        *,
        every: int | str | None = "10m",
        dir: str | Path | None = None,  # noqa: A002  # the word of the job file
        keep: int = 3,
        allow_pickle: bool = False,
        **state: Any,
    ) -> None:
        root = Path(dir or os.environ.get(trainer_contract.CHECKPOINT_DIR) or "checkpoints").absolute()
        self.values: dict[str, Any] = {}
        self._allow_pickle = allow_pickle
        self._rhythm = rhythm_of(every)
        self._objects: dict[str, Any] = {}
        for name, value in state.items():
            stateful = hasattr(value, "state_dict") and hasattr(value, "load_state_dict")
            (self._objects if stateful else self.values)[name] = value
        self._ranks = Ranks()
        self._saver = Saver(root, keep, self._ranks)
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
        folder = self._ranks.gather(self._resume_from() if self._ranks.leads else None)[0]
        if folder is None:
            return 0
        marker = checkpoint_files.verify(folder)
        state = read_contents(folder, marker, self._objects, self._ranks, allow_pickle=self._allow_pickle)
        missing = sorted(set(self._objects) ^ set(state["objects"]))
        if missing:
            raise CheckpointError(
                f"{folder}: {missing[0]!r} is not in both the checkpoint and Checkpointer(…)"
            )
        for name, target in self._objects.items():
            load_object(name, target, state["objects"][name])
        self.values.update(state["values"])
        self._position.restore(position_of(state["ranks"], self._ranks.rank, self._ranks.world))
        here, before = software(self._ranks.world), state["software"]
        if before != here:
            _log.warning("%s was written by %s, this is %s: not bit for bit", folder, before, here)
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
        if self._ranks.leads:
            here.log(n, metrics)
        request = here.request() if self._ranks.first_of_node else None
        fresh = request if self._saving is None or self._saving[1] != request else None
        final, asked, due = self._look(n, request, fresh)
        if final:
            self._leave(request, n)
        if (asked or due) and self._saver.busy and self._rhythm.steps is not None:
            self._finish()  # who counts steps wants those very steps
        if (asked or due) and not self._saver.busy:  # else at a later step
            begin_s = self._clock.monotonic_s()
            self._begin(n, fresh)
            if self._ranks.leads:
                here.stalled(self._clock.monotonic_s() - begin_s)

    def _look(
        self, n: int, request: SaveRequest | None, fresh: SaveRequest | None
    ) -> tuple[bool, bool, bool]:
        """What all ranks agree on at this step: leave, save because one was asked, or because it is time."""
        self._saver.look(0.0)
        since_s = self._clock.monotonic_s() - self._began_at_s
        numbers = (
            int(request is not None and request.final),
            int(fresh is not None),
            int(self._ranks.leads and self._rhythm.due(n, since_s)),
        )
        final, asked, due, *state = self._ranks.most((*numbers, *self._saver.state))
        self._settle(*state)
        return bool(final), bool(asked), bool(due)

    def save(self, n: int) -> Path:
        """Saves the state after step `n`; durable on return. Raises CheckpointError, OSError."""
        self._finish()
        if not self._has(n):
            self._begin(n)
            result = self._finish()
            if result is not None and result.error:
                raise _error_of(result)
        return self._saver.folder(n)

    def _has(self, n: int) -> bool:
        return n == self._saved and n in self._saver.own

    def _begin(self, n: int, request: SaveRequest | None = None) -> None:
        """Raises CheckpointError: something in the state can't be saved."""
        if self._has(n):
            self._answer(request, n)
            return
        untouched = n == self._saved
        position = self._position.state(untouched=untouched)
        contents = contents_of(
            self._objects, self.values, position, self._ranks, allow_pickle=self._allow_pickle
        )
        self._began_at_s = self._clock.monotonic_s()
        self._saver.begin(n, contents, request.id if request is not None else "")
        self._saving = n, request

    def _finish(self) -> SaveResult | None:
        """Waits for the save under way, with all ranks; returns what became of it, told already."""
        result = None
        while self._saver.busy:
            self._saver.look(None)
            result = self._settle(*self._ranks.most(self._saver.state))
        return result

    def _settle(self, busy: int, failed: int) -> SaveResult | None:
        """Takes note of the save under way when it has come to an end on all ranks.

        Raises OSError: the disk fails, and going on would train what can't be kept.
        """
        result = self._saver.settle(busy, failed)
        if result is None or self._saving is None:
            return None
        (n, request), self._saving = self._saving, None
        if not result.error:
            self._saved = n
        self._answer(request, None if result.error else n)
        if result.error:
            if result.errno and result.errno not in (*NO_SPACE, errno.ENOMEM):
                raise _error_of(result)
            _log.error("step %d could not be saved: %s; training goes on", n, result.error)
        return result

    def _answer(self, request: SaveRequest | None, n: int | None, *, leaving: bool = False) -> None:
        if request is not None:
            path = "" if n is None else str(self._saver.folder(n))
            contact().answer(request, n, path, leaving=leaving)

    def _leave(self, request: SaveRequest | None, n: int) -> None:
        """Raises Preempted, after step `n` is durable or can't be made so."""
        self._finish()
        for _ in range(FINAL_TRIES):
            if not self._has(n):
                self._begin(n)
                self._finish()
        self._answer(request, n if self._has(n) else None, leaving=True)
        raise Preempted(request.why if request is not None else "another rank was asked to leave")


def _error_of(result: SaveResult) -> OSError | CheckpointError:
    if result.errno:
        return OSError(result.errno, result.error)
    return CheckpointError(f"step {result.step} could not be saved: {result.error}")
