"""Turns what the core keeps into a row's canonical JSON body, and back."""

from __future__ import annotations

import functools
from typing import Any, TypeVar, cast

from outlast.protocol import codec
from outlast_orchestrator.core.errors import StoreError

T = TypeVar("T")

CACHED_BODIES = 8_192  # beside those of `store.known`; bodies are frozen, so one object serves all


def encode(value: Any) -> str:
    return codec.dump(value).decode()


def decode(cls: type[T], body: str) -> T:
    """Raises StoreError."""
    return cast("T", _decode(cls, body))  # type: ignore[arg-type]  # a class is hashable


@functools.lru_cache(maxsize=CACHED_BODIES)
def _decode(cls: type[Any], body: str) -> Any:
    try:
        return codec.load(cls, body.encode())
    except (codec.FormatError, UnicodeError) as error:
        raise StoreError(f"the store holds a {cls.__name__} that cannot be read: {error}") from error
