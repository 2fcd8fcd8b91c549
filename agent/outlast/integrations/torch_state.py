"""What a checkpoint must know of torch: which tensors fit, random generators, exact optimizers, versions."""

from __future__ import annotations

import functools
import importlib
import platform
import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch

from outlast.clock import random_state, set_random_state
from outlast.integrations.torch_staging import DTYPES
from outlast.state_tree import TensorShelf
from outlast.training import CheckpointError

PLAIN = (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)


def shelf(
    tensors: dict[str, torch.Tensor],
    spread: dict[str, torch.Tensor],
    pickled: Callable[[str, Any], str] | None = None,
) -> TensorShelf:
    """Collects tensors uncopied, those spread over ranks in `spread`; two names of one tensor (tied
    weights) share an entry."""
    names: dict[tuple[Any, ...], str] = {}

    def keep(name: str, tensor: torch.Tensor) -> tuple[str, list[int] | None]:
        home = spread if is_spread(tensor) else tensors
        _refuse(name, tensor, spread=home is spread)
        shape, stride = tensor.shape, tensor.stride()
        strides = None if home is spread else _strides(shape, stride)
        at = address(tensor)
        turned = home is tensors and tensor.is_neg()  # the imaginary part of a conjugate: the same memory
        same = (at, tensor.dtype, shape, stride, turned)
        if at and same in names:
            return names[same], strides
        while name in tensors or name in spread:
            name += "'"
        home[name] = tensor.detach()
        names[same] = name
        return name, strides

    return TensorShelf(lambda value: isinstance(value, torch.Tensor), keep, pickled)


@functools.lru_cache(4096)  # a state has few shapes and many tensors, and the training waits
def _strides(shape: torch.Size, stride: tuple[int, ...]) -> list[int] | None:
    """Of one that fills its memory in another order (channels last): fused optimizers go by that order.

    None: in the order of its shape. A view with gaps, or over itself, comes back so, too.
    """
    if 0 in shape:
        return None
    strides = list(stride)
    plain = strides == list(torch.empty(shape, device="meta").stride())
    return None if plain or not _dense(shape, strides) else strides


def _dense(shape: torch.Size, strides: list[int]) -> bool:
    """Whether these strides lay out the shape without gaps and overlaps."""
    try:
        looks = torch.empty_strided(shape, strides, device="meta")
    except (RuntimeError, TypeError):
        return False
    return looks.permute(sorted(range(len(strides)), key=lambda place: -strides[place])).is_contiguous()


def strided(name: str, tensor: torch.Tensor, strides: list[int]) -> torch.Tensor:
    """A copy with the same values, in that order in memory. Raises CheckpointError."""
    if not _dense(tensor.shape, strides):
        raise CheckpointError(f"{name}: the strides {strides} do not fit its shape {list(tensor.shape)}")
    return torch.empty_strided(tensor.shape, strides, dtype=tensor.dtype).copy_(tensor)


def is_spread(tensor: torch.Tensor) -> bool:
    """A DTensor, told by its name: its module takes long to load, and most trainings never do."""
    return type(tensor).__name__ == "DTensor" and hasattr(tensor, "placements")


def address(tensor: torch.Tensor) -> int:
    """Of the first value in memory; of this rank's own where the tensor is spread."""
    local: torch.Tensor = getattr(tensor, "to_local")() if is_spread(tensor) else tensor  # noqa: B009
    return local.data_ptr() if local.numel() else 0


def frozen_addresses(objects: Iterable[Any]) -> set[int]:
    """Of the parameters that are not trained: their bytes are the same in every save."""
    modules = [target for target in objects if isinstance(target, torch.nn.Module)]
    params = [param for module in modules for param in module.parameters() if not param.requires_grad]
    return {address(param) for param in params} - {0}


def _refuse(name: str, tensor: torch.Tensor, *, spread: bool) -> None:
    plain = spread or type(tensor) in PLAIN
    if plain and tensor.layout == torch.strided and tensor.dtype in DTYPES:
        if not tensor.is_meta:
            return
        why = "a tensor without values (meta device)"
    elif not plain:
        why = f"a {type(tensor).__name__}"
    elif tensor.layout != torch.strided:
        why = f"a tensor with layout {tensor.layout}"
    else:
        why = f"a tensor of {tensor.dtype}"
    raise CheckpointError(f"{name}: {why} can't be saved; convert it in the object's state_dict()")


def load_object(name: str, target: Any, state: Any) -> None:
    """`target.load_state_dict(state)`, and for an optimizer what that call would round."""
    try:
        target.load_state_dict(state)
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{name} does not take the checkpoint's state: {error}") from error
    if isinstance(target, torch.optim.Optimizer):
        _load_exactly(target, state)


def _load_exactly(optimizer: torch.optim.Optimizer, state: Any) -> None:
    """torch casts an optimizer's state to the dtype of its parameter: float32 moments of bfloat16 weights
    would come back rounded, and the run would not be the one that was interrupted."""
    params = [param for group in optimizer.param_groups for param in group["params"]]
    ids = [index for group in state["param_groups"] for index in group["params"]]
    for param, index in zip(params, ids, strict=True):
        for key, saved in state["state"].get(index, {}).items():
            loaded = optimizer.state[param].get(key)
            if isinstance(saved, torch.Tensor) and isinstance(loaded, torch.Tensor):
                optimizer.state[param][key] = saved.to(device=loaded.device, dtype=saved.dtype, copy=True)


def rng_state() -> dict[str, Any]:
    """All global random generators that a training draws from."""
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "python": random_state(),
        "cuda": [],
        "numpy": None,
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    numpy = sys.modules.get("numpy")  # a training that never loaded it has drawn nothing from it
    if numpy is not None:
        name, keys, *rest = numpy.random.get_state()
        state["numpy"] = (name, [int(key) for key in keys], *rest)
    return state


def set_rng_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    set_random_state(state["python"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"][: torch.cuda.device_count()])
    if state["numpy"] is not None:
        importlib.import_module("numpy").random.set_state(state["numpy"])


def generators(loader: Any) -> dict[str, torch.Tensor]:
    """States of the generators that belong to a loader and its samplers."""
    return {name: generator.get_state() for name, generator in _own_generators(loader)}


def set_generators(loader: Any, states: dict[str, torch.Tensor]) -> None:
    for name, generator in _own_generators(loader):
        if name in states:
            generator.set_state(states[name])


def _own_generators(loader: Any) -> list[tuple[str, torch.Generator]]:
    batch_sampler = getattr(loader, "batch_sampler", None)
    owners = {
        "loader": loader,
        "sampler": getattr(loader, "sampler", None),
        "batch_sampler": batch_sampler,
        "inner_sampler": getattr(batch_sampler, "sampler", None),
    }
    found = [(name, getattr(owner, "generator", None)) for name, owner in owners.items()]
    return [(name, generator) for name, generator in found if isinstance(generator, torch.Generator)]


def software(processes: int) -> dict[str, Any]:
    """What must be the same for results to be the same bit for bit."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return {
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "device": device,
        "processes": processes,
    }
