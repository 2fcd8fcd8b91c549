"""All processes of one training: what they must decide together, at the same step."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist

from outlast.training import CheckpointError


class Ranks:
    """A group of its own over gloo, so that no agreement waits behind the training's own traffic.

    Alone, every agreement is what one said oneself. All calls but the properties are made by every rank,
    in the same order.
    """

    def __init__(self) -> None:
        """Raises CheckpointError: several processes, and torch.distributed is not set up."""
        self.group: Any = None
        self.rank, self.world = 0, 1
        self.first_of_node = True
        if int(os.environ.get("WORLD_SIZE", "1")) <= 1 and not _ready():
            return
        if not _ready():
            raise CheckpointError(
                "WORLD_SIZE is above 1: call torch.distributed.init_process_group() before Checkpointer(…)"
            )
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self.first_of_node = int(os.environ.get("LOCAL_RANK", self.rank)) == 0
        if self.world > 1:
            self.group = dist.new_group(backend="gloo")

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def most(self, numbers: Sequence[int]) -> list[int]:
        """For each place the largest number that any rank gave."""
        if self.group is None:
            return list(numbers)
        tensor = torch.tensor(numbers, dtype=torch.int64)
        dist.all_reduce(tensor, dist.ReduceOp.MAX, group=self.group)
        return [int(number) for number in tensor]

    def gather(self, value: Any) -> list[Any]:
        """What every rank gave, in their order, on every rank."""
        if self.group is None:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value, group=self.group)
        return values


def _ready() -> bool:
    return dist.is_available() and dist.is_initialized()
