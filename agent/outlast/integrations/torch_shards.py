"""Tensors that are spread over ranks (DTensor, FSDP2): torch's distributed checkpoint plans, we store.

What torch would pickle – which piece of which tensor lies where – is JSON here, and the pieces are
safetensors, one file or more a rank. Another world size loads them: the planner asks for what it needs.
"""

# ruff: noqa: ARG002, ARG003  # torch gives its storage more than ours needs

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import LoadPlan, LoadPlanner, SavePlan, SavePlanner
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.checkpoint.storage import StorageReader, StorageWriter, WriteResult
from torch.futures import Future

from outlast.integrations.torch_ranks import Ranks
from outlast.integrations.torch_staging import DTYPES
from outlast.training import CheckpointError

_NAMES = {text: dtype for dtype, text in DTYPES.items()}


def plan_pieces(
    spread: Mapping[str, torch.Tensor], ranks: Ranks
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """This rank's pieces by their names in the file, and (of rank 0) what `shards.json` will say."""
    writer = _PiecesWriter(ranks.rank)
    save(dict(spread), storage_writer=writer, process_group=ranks.group, no_dist=ranks.group is None)
    return writer.pieces, writer.table


def load_pieces(
    table: Mapping[str, Any],
    templates: Mapping[str, torch.Tensor],
    piece: Callable[[str], Any],
    ranks: Ranks,
) -> dict[str, torch.Tensor]:
    """Every tensor of the table, spread as its template is. `piece` opens one to be sliced.

    Raises CheckpointError: a tensor has no template, or one of another shape.
    """
    targets: dict[str, torch.Tensor] = {}
    for name, entry in table.items():
        template = templates.get(name)
        if template is None or list(template.shape) != entry["shape"]:
            shape = "nothing" if template is None else f"a tensor of shape {list(template.shape)}"
            raise CheckpointError(f"{name} has the shape {entry['shape']} in the checkpoint, here is {shape}")
        targets[name] = torch.empty_like(template, dtype=_NAMES[entry["dtype"]], requires_grad=False)
    reader = _PiecesReader(table, piece)
    load(targets, storage_reader=reader, process_group=ranks.group, no_dist=ranks.group is None)
    return targets


class _PiecesWriter(StorageWriter):
    """Collects the local pieces instead of writing them: that is done beside the training."""

    def __init__(self, rank: int) -> None:
        self.pieces: dict[str, torch.Tensor] = {}
        self.table: dict[str, Any] = {}
        self._rank = rank

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        self.pieces, self.table = {}, {}

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        """Nothing to set up."""

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        return plans

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        results = []
        for item in plan.items:
            data = planner.resolve_data(item)
            if not isinstance(data, torch.Tensor):
                raise CheckpointError(f"{item.index.fqn} is not a tensor")
            name = f"{item.index.fqn}@{','.join(map(str, item.index.offset or ()))}"
            self.pieces[name] = data.detach()
            results.append(WriteResult(item.index, data.nbytes, name))
        future: Future[list[WriteResult]] = Future()
        future.set_result(results)
        return future

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        names = {result.index: result.storage_data for of_rank in results for result in of_rank}
        for name, entry in metadata.state_dict_metadata.items():
            assert isinstance(entry, TensorStorageMetadata)
            chunks = [
                [list(chunk.offsets), list(chunk.sizes), names[MetadataIndex(name, chunk.offsets)]]
                for chunk in entry.chunks
            ]
            dtype = DTYPES[entry.properties.dtype]
            self.table[name] = {"dtype": dtype, "shape": list(entry.size), "chunks": chunks}

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        return True


class _PiecesReader(StorageReader):
    """Reads only the slices that this rank needs."""

    def __init__(self, table: Mapping[str, Any], piece: Callable[[str], Any]) -> None:
        self._table = table
        self._piece = piece
        self._names: dict[MetadataIndex, str] = {}

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        self._names = {}

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        tensors: dict[str, Any] = {}
        storage: dict[MetadataIndex, str] = {}
        for name, entry in self._table.items():
            chunks = [
                ChunkStorageMetadata(torch.Size(at), torch.Size(size)) for at, size, _ in entry["chunks"]
            ]
            properties = TensorProperties(dtype=_NAMES[entry["dtype"]])
            tensors[name] = TensorStorageMetadata(properties, torch.Size(entry["shape"]), chunks)
            storage.update({MetadataIndex(name, torch.Size(at)): key for at, _, key in entry["chunks"]})
        return Metadata(tensors, planner_data={name: (name,) for name in tensors}, storage_data=storage)

    def set_up_storage_reader(
        self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any
    ) -> None:
        self._names = metadata.storage_data

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        for item in plan.items:
            place = tuple(
                slice(at, at + size) for at, size in zip(item.storage_offsets, item.lengths, strict=True)
            )
            target = planner.resolve_tensor(item).detach()
            target.copy_(self._piece(self._names[item.storage_index])[place or ...])
            planner.commit_tensor(item, target)
        future: Future[None] = Future()
        future.set_result(None)
        return future

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        return True
