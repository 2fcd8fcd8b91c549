"""Reads what a person wrote about one cloud into its own settings, and says exactly what does not fit."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from outlast.protocol.codec import FormatError, from_json

T = TypeVar("T")


class Misfit(Exception):
    """One line that begins with the key."""


def read_options(cls: type[T], options: Any, key: str) -> T:
    """`cls` is a dataclass. Raises Misfit, also for an unknown key: nobody would hear that wish."""
    _check(cls, options, key)
    try:
        return from_json(cls, options)
    except FormatError as error:
        raise Misfit(f"{key}: {error}") from error


def nearest(name: str, known: Iterable[str]) -> str:
    """What is told beside an unknown key."""
    there = sorted(known)
    close = difflib.get_close_matches(name, there, n=1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(there)}"


def _check(kind: Any, value: Any, key: str) -> None:
    if get_origin(kind) is dict and isinstance(value, dict):
        for name, one in value.items():
            _check(get_args(kind)[1], one, f"{key}.{name}")
    if not dataclasses.is_dataclass(kind) or not isinstance(value, dict):
        return
    hints = get_type_hints(kind)
    for name, one in value.items():
        if name not in hints:
            raise Misfit(f"{key}.{name}: no such key; {nearest(str(name), hints)}")
        _check(hints[name], one, f"{key}.{name}")
