"""What goes into a checkpoint, and how it is read back: state dicts, values, and each rank's position."""

from __future__ import annotations

import contextlib
import importlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from outlast.integrations.pickled import pickled, unpickled
from outlast.integrations.torch_ranks import Ranks
from outlast.integrations.torch_staging import FROZEN, TRAINED
from outlast.integrations.torch_state import address, frozen_addresses, shelf, software, strided
from outlast.save.marker import Marker
from outlast.state_tree import flatten, unflatten
from outlast.training import CheckpointError
from outlast.writing.layout import SUFFIX

STATE = "state.json"
SHARDS = "shards.json"  # the table of tensors that are spread over the ranks


@dataclass(frozen=True)
class Contents:
    """This rank's part of a save: tensors by name, the file group of those that have one, further files."""

    tensors: dict[str, torch.Tensor]
    groups: dict[str, str]
    texts: dict[str, bytes]
    spread: bool  # other ranks have parts too


def contents_of(
    objects: Mapping[str, Any],
    values: Mapping[str, Any],
    position: Mapping[str, Any],
    ranks: Ranks,
    *,
    allow_pickle: bool = False,
) -> Contents:
    """Called by all ranks. What is the same on all of them, and `values`, is rank 0's to save.

    Raises CheckpointError: something can't be saved; the message names it.
    """
    fallback = pickled if allow_pickle else None
    own: dict[str, torch.Tensor] = {}
    place = f"ranks.{ranks.rank}"
    gathered = ranks.gather((flatten(dict(position), place, shelf(own, {}, fallback)), own))
    tensors: dict[str, torch.Tensor] = {}
    spread: dict[str, torch.Tensor] = {}
    shelved = shelf(tensors, spread, fallback)
    states = {name: target.state_dict() for name, target in objects.items()}
    flat = {
        "software": flatten(software(ranks.world), "software", shelved),
        "values": flatten(values, "values", shelved),
        "objects": {"dict": [[name, flatten(state, name, shelved)] for name, state in states.items()]},
        "ranks": [state for state, _ in gathered],
    }
    frozen = frozen_addresses(objects.values())
    pieces: dict[str, torch.Tensor] = {}
    texts: dict[str, bytes] = {}
    if spread:
        pieces, table = _shards().plan_pieces(spread, ranks)
        texts[SHARDS] = _json(table)
    groups = {
        name: f"{FROZEN if address(piece) in frozen else TRAINED}-rank-{ranks.rank}"
        for name, piece in pieces.items()
    }
    if not ranks.leads:
        return Contents(pieces, groups, {}, bool(spread))
    for _, of_rank in gathered:
        tensors.update(of_rank)
    if frozen:
        groups |= {name: FROZEN for name, tensor in tensors.items() if address(tensor) in frozen}
    return Contents({**tensors, **pieces}, groups, {**texts, STATE: _json(flat)}, bool(spread))


def read_contents(
    folder: Path, marker: Marker, objects: Mapping[str, Any], ranks: Ranks, *, allow_pickle: bool = False
) -> dict[str, Any]:
    """`objects` (states by name), `values`, `software`, `ranks`. Called by all ranks.

    Raises CheckpointError.
    """
    try:
        flat = json.loads((folder / STATE).read_bytes())
        with contextlib.ExitStack() as stack:
            files: dict[str, Any] = {}
            for path in (file.path for file in marker.files if file.path.endswith(SUFFIX)):
                opened = stack.enter_context(safe_open(folder / path, framework="pt", device="cpu"))
                files.update(dict.fromkeys(opened.keys(), opened))
            read: dict[str, torch.Tensor] = {}
            if any(file.path == SHARDS for file in marker.files):
                table = json.loads((folder / SHARDS).read_bytes())
                read = _shards().load_pieces(
                    table, _templates(objects, table), lambda name: files[name].get_slice(name), ranks
                )

            def tensor(name: str, strides: list[int] | None) -> torch.Tensor:
                if name not in read:  # two names of one tensor become one again
                    # A copy: the file's own mapping would tie the training to a file that may be deleted.
                    found: torch.Tensor = files[name].get_tensor(name)
                    read[name] = found.clone() if strides is None else strided(name, found, strides)
                return read[name]

            fallback = unpickled if allow_pickle else None
            return {name: unflatten(value, tensor, fallback) for name, value in flat.items()}
    except (OSError, ValueError, KeyError, SafetensorError, CheckpointError) as error:
        raise CheckpointError(f"{folder} can't be read: {error}") from error


def _templates(objects: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """How each tensor of the table is spread here: as the object's own, or, for the state of an optimizer
    that has made no step yet, as the parameter that it belongs to."""
    found: dict[str, torch.Tensor] = {}
    shelved = shelf({}, found, lambda *_: "")  # only tensors are looked for
    for name, target in objects.items():
        flatten(target.state_dict(), name, shelved)
        if not isinstance(target, torch.optim.Optimizer):
            continue
        params = [param for group in target.param_groups for param in group["params"]]
        for key in table:
            match = re.fullmatch(rf"{re.escape(name)}\.state\.(\d+)\..+", key)
            if match and int(match[1]) < len(params):
                found.setdefault(key, params[int(match[1])])
    return found


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _shards() -> Any:
    """Loaded when a tensor is spread: torch's part of it takes as long to load as torch itself."""
    return importlib.import_module("outlast.integrations.torch_shards")
