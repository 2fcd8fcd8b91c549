"""Values that only pickle can keep: written and read for those who asked for it, and for nobody else."""

from __future__ import annotations

import base64
import io
import pickle
from typing import Any

from outlast.training import CheckpointError


def pickled(name: str, value: Any) -> str:
    """Raises CheckpointError: pickle does not take it either."""
    try:
        return base64.b64encode(pickle.dumps(value)).decode()
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{name} can't be saved, and can't be pickled: {error}") from error


def unpickled(text: str) -> Any:
    """Runs code that the checkpoint names: only ever called with `allow_pickle`. Raises CheckpointError."""
    try:
        return pickle.Unpickler(io.BytesIO(base64.b64decode(text))).load()  # noqa: S301  # the user asked
    except (pickle.UnpicklingError, AttributeError, ImportError, EOFError, IndexError, TypeError) as error:
        raise CheckpointError(f"a pickled value of the checkpoint can't be read: {error}") from error
