"""The layouts of checkpoints that the agent knows, in the order in which they are asked: strongest first."""

from __future__ import annotations

from outlast.save.found import Kind
from outlast.save.kinds.accelerate import Accelerate
from outlast.save.kinds.dcp import DistributedCheckpoint
from outlast.save.kinds.deepspeed import DeepSpeed
from outlast.save.kinds.huggingface import HuggingFace
from outlast.save.kinds.lightning import LightningFile, LightningFolder
from outlast.save.kinds.megatron import Megatron
from outlast.save.kinds.outlast import Outlast
from outlast.save.kinds.torch_files import MatchedFiles, TorchFiles
from outlast.save.kinds.torch_folder import MatchedFolder, TorchFolder
from outlast.save.kinds.torchtitan import TorchTitan

# A layout within a layout (a distributed checkpoint within Megatron's) is the outer one's.
MARKED: tuple[Kind, ...] = (
    Outlast(),
    HuggingFace(),
    Megatron(),
    LightningFolder(),
    LightningFile(),
    DeepSpeed(),
    DistributedCheckpoint(),
    TorchTitan(),
)
UNMARKED: tuple[Kind, ...] = (Accelerate(), TorchFolder(), TorchFiles())
MATCHED: tuple[Kind, ...] = (MatchedFolder(), MatchedFiles())  # only for a pattern of the user's
ALL: tuple[Kind, ...] = (*MARKED, *UNMARKED)


def kind_named(name: str) -> Kind:
    """The kind that a manifest names; `torch-folder:epoch_3` carries the folder's name behind the colon."""
    word = name.partition(":")[0]
    for kind in (*ALL, *MATCHED):
        if kind.name == word:
            return kind
    return UNMARKED[-1]  # a later agent's kind: its files go where their paths say
