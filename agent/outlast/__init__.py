"""Outlast on the node: the agent, and what a training loop may import.

The names for training code load on first use: the agent and the controller import this package too, and
must not pay for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outlast.checkpointer import Checkpointer
    from outlast.training import CheckpointError, Preempted, done, log, should_save

__version__ = "0.1.0"

__all__ = ["CheckpointError", "Checkpointer", "Preempted", "done", "log", "should_save"]

_HOME = {
    "Checkpointer": "outlast.checkpointer",
    "CheckpointError": "outlast.training",
    "Preempted": "outlast.training",
    "done": "outlast.training",
    "log": "outlast.training",
    "should_save": "outlast.training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'outlast' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
