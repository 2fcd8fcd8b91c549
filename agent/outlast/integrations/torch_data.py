"""Where a training is in its data: passes, batches consumed, and the randomness that belongs to them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from outlast.integrations.torch_state import generators, rng_state, set_generators, set_rng_state
from outlast.training import CheckpointError

_log = logging.getLogger("outlast")


class DataPosition:
    """Of one process. `state()` is what a checkpoint holds of it, `restore()` takes that up again."""

    def __init__(self) -> None:
        self.epoch = 0  # passes over the data that are over
        self._pass: dict[str, Any] | None = None  # the pass that is under way
        self._loader: Any = None  # of this pass or the last one
        self._resumed: dict[str, Any] | None = None  # what the next `batches` has to take up
        self._kept = False  # the loader of the last pass keeps its workers

    def restore(self, state: dict[str, Any]) -> None:
        self.epoch = state["epoch"]
        self._resumed = {"pass": state["pass"], "rng": state["rng"], "own": state.get("own", {})}
        self._kept = state.get("kept", False)
        set_rng_state(state["rng"])

    def state(self, *, untouched: bool) -> dict[str, Any]:
        """`untouched`: no step was made since the restore."""
        position = dict(self._pass) if self._pass is not None else None
        rng, own = rng_state(), generators(self._loader)
        if self._resumed is not None:  # no pass was begun since the restore: nothing was consumed
            position, own = self._resumed["pass"], self._resumed["own"]
            if untouched:  # what ran since may have drawn from the generators
                rng = self._resumed["rng"]
        elif position is not None:
            position["generators_now"] = own
            if hasattr(self._loader, "state_dict") and hasattr(self._loader, "load_state_dict"):
                position["loader"] = self._loader.state_dict()
        return {"epoch": self.epoch, "pass": position, "rng": rng, "own": own, "kept": self._kept}

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
                set_generators(loader, resumed["own"] if resumed is not None else {})
            kept = _has_workers(loader) or (resumed is not None and self._kept)
            own = generators(loader)
            self._pass = {"consumed": 0, "rng": rng_state(), "generators": own, "loader": None, "kept": kept}
            iterator = _iterator(loader, self._pass)
        else:
            self._pass = old
            iterator = _take_up(loader, old)
            set_rng_state(rng)
        position, self._kept = self._pass, _has_workers(loader)
        try:
            for batch in iterator:
                position["consumed"] += 1
                yield batch
        finally:
            if self._pass is position:
                self._pass = None
                self.epoch += 1


def position_of(states: Sequence[dict[str, Any]], rank: int, world: int) -> dict[str, Any]:
    """What `rank` of `world` takes up of the states that all ranks had. With another number of ranks the
    same data is left, to a batch; who reads which part of it, and the randomness, are not the same."""
    state = dict(states[rank % len(states)])
    if len(states) != world and state["pass"] is not None:
        consumed = state["pass"]["consumed"] * len(states) // world
        state["pass"] = {**state["pass"], "consumed": consumed, "loader": None}
    return state


def _has_workers(loader: Any) -> bool:
    """Of an earlier pass: `persistent_workers`."""
    return (
        bool(getattr(loader, "persistent_workers", False)) and getattr(loader, "_iterator", None) is not None
    )


def _iterator(loader: Any, of_pass: dict[str, Any]) -> Iterator[Any]:
    """From the random state that the pass began with. A seed for the workers is drawn when they start: a pass
    that began with workers of an earlier one has drawn none, so here they start before it."""
    starts = of_pass.get("kept", False) and not _has_workers(loader)
    iterator: Iterator[Any] = iter(loader)
    if starts and _has_workers(loader):
        _log.warning("persistent workers start anew: what they draw themselves is not bit for bit the same")
        set_rng_state(of_pass["rng"])
        set_generators(loader, of_pass["generators"])
        iterator = iter(loader)
    return iterator


def _take_up(loader: Any, old: dict[str, Any]) -> Iterator[Any]:
    if old["loader"] is not None:
        loader.load_state_dict(old["loader"])
        resumed: Iterator[Any] = iter(loader)
        return resumed
    now = old.get("generators_now", {})
    set_rng_state(old["rng"])
    set_generators(loader, old["generators"])
    iterator = _iterator(loader, old)
    for number in range(old["consumed"]):
        if next(iterator, iterator) is iterator:
            raise CheckpointError(f"the data ended at batch {number}; {old['consumed']} were consumed before")
    set_generators(loader, now)
    return iterator
