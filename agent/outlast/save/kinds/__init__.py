"""The layouts of checkpoints that the agent knows, strongest first."""

from __future__ import annotations

from outlast.save.found import Kind
from outlast.save.kinds.huggingface import HuggingFace
from outlast.save.kinds.outlast import Outlast
from outlast.save.kinds.torch_folder import TorchFiles, TorchFolder

ALL: tuple[Kind, ...] = (Outlast(), HuggingFace(), TorchFolder(), TorchFiles())


def kind_named(name: str) -> Kind:
    """The kind that a manifest names; `torch-folder:epoch_3` carries the folder's name behind the colon."""
    for kind in ALL:
        if kind.name == name.split(":", 1)[0]:
            return kind
    return ALL[-1]
