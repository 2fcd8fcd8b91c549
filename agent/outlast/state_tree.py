"""Nested state to JSON and named tensors and back; what would not come back is refused by name. Pure."""

from __future__ import annotations

import base64
import math
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from outlast.training import CheckpointError

DEPTH_MAX = 100
PLAIN = frozenset({int, str, bool, type(None)})


class TensorShelf:
    """Where tensors go while a tree is flattened. `keep` returns the name under which one is stored, and
    its strides unless it lies in memory as its shape says.

    `pickled` turns what fits nowhere else into text, if the user allows it; None: it is refused.
    """

    def __init__(
        self,
        is_tensor: Callable[[Any], bool],
        keep: Callable[[str, Any], tuple[str, list[int] | None]],
        pickled: Callable[[str, Any], str] | None = None,
    ) -> None:
        self.is_tensor = is_tensor
        self.keep = keep
        self.pickled = pickled


def flatten(value: Any, name: str, shelf: TensorShelf, depth: int = 0) -> Any:
    """JSON that `unflatten` turns back into an equal value. Raises CheckpointError."""
    if depth > DEPTH_MAX:
        raise CheckpointError(f"{name}: nested deeper than {DEPTH_MAX} levels; does it hold itself?")
    if value is None or isinstance(value, (bool, str)):
        return value
    if shelf.is_tensor(value):
        kept, strides = shelf.keep(name, value)
        return {"tensor": kept} if strides is None else {"strided": [kept, strides]}
    if isinstance(value, int) and type(value) in (int, bool):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": repr(float(value))}
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if type(value) in (list, tuple, set, frozenset):
        return _flatten_sequence(value, name, shelf, depth)
    if type(value) in (dict, OrderedDict, Counter):
        tag = "dict" if type(value) is dict else "ordered" if type(value) is OrderedDict else "counter"
        pairs = [
            [
                flatten(key, f"a key of {name}", shelf, depth + 1),
                flatten(item, f"{name}.{key}", shelf, depth + 1),
            ]
            for key, item in value.items()
        ]
        return {tag: pairs}
    if shelf.pickled is not None:
        return {"pickle": shelf.pickled(name, value)}
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    raise CheckpointError(
        f"{name}: a {kind} can't be saved. A checkpoint holds tensors, numbers, text, lists and dicts; "
        "convert it, give the object a state_dict() and load_state_dict(), or allow_pickle=True."
    )


def _flatten_sequence(value: Any, name: str, shelf: TensorShelf, depth: int) -> Any:
    items = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
    if _plain(items):
        flat = list(items)
    else:
        flat = [flatten(item, f"{name}.{index}", shelf, depth + 1) for index, item in enumerate(items)]
    if isinstance(value, list):
        return flat
    return {type(value).__name__: flat}


def _plain(items: Any) -> bool:
    """JSON takes all of them as they are. A generator's state is 600 numbers, and the training waits."""
    kinds = set(map(type, items))
    return kinds <= PLAIN or (kinds == {float} and all(map(math.isfinite, items)))


def unflatten(
    value: Any, tensor: Callable[[str, list[int] | None], Any], unpickled: Callable[[str], Any] | None = None
) -> Any:
    """The value that was flattened; `tensor` finds one by its name and strides. Raises CheckpointError."""
    if isinstance(value, list):
        return [unflatten(item, tensor, unpickled) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        raise CheckpointError(f"a checkpoint's state has an entry with the tags {sorted(value)}, not one")
    ((tag, inside),) = value.items()
    if tag == "tensor":
        return tensor(inside, None)
    if tag == "strided":
        return tensor(inside[0], inside[1])
    if tag == "float":
        return float(inside)
    if tag == "bytes":
        return base64.b64decode(inside)
    if tag == "pickle":
        if unpickled is None:
            raise CheckpointError(
                "it holds pickled values, which run code: say allow_pickle=True to load them"
            )
        return unpickled(inside)
    makers: dict[str, Callable[[Any], Any]] = {"tuple": tuple, "set": set, "frozenset": frozenset}
    if tag in makers:
        return makers[tag](unflatten(item, tensor, unpickled) for item in inside)
    mappings: dict[str, Callable[[Any], Any]] = {
        "dict": dict, "ordered": OrderedDict, "counter": lambda pairs: Counter(dict(pairs))
    }  # fmt: skip
    if tag in mappings:
        pairs = [
            (unflatten(key, tensor, unpickled), unflatten(item, tensor, unpickled)) for key, item in inside
        ]
        return mappings[tag](pairs)
    raise CheckpointError(f"a checkpoint's state has the unknown tag {tag!r}: a newer Outlast wrote it")
