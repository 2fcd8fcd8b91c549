"""Turns the protocol's frozen dataclasses into JSON and back, telling exactly what does not fit. Pure.

The agent's base has no pydantic, and both sides must read objects that a newer version wrote: unknown
fields are ignored, missing fields take the dataclass's default, and everything else is an error that
names the place (`head.step: expected a whole number, found 'x'`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import functools
import json
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar, Union, get_args, get_origin

T = TypeVar("T")
_Reader = Callable[[Any], Any]
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class FormatError(ValueError):
    """Bytes or a JSON value that are not what the protocol says; the message names place and reason."""


def to_json(value: Any) -> Any:
    """A JSON-ready copy of a dataclass tree: dataclass → dict, tuple → list, enum → its value."""
    kind: type[Any] = type(value)
    return value if kind in _PLAIN else _writer(kind)(value)  # type: ignore[arg-type]  # a class is hashable; typeshed says not


def dump(value: Any) -> bytes:
    """Canonical UTF-8 JSON: sorted keys, so that equal values are equal bytes."""
    return _ENCODER.encode(to_json(value)).encode()


def load(cls: type[T], body: bytes) -> T:
    """Reads `body` as one `cls`. Raises FormatError."""
    try:
        value = json.loads(body)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise FormatError(f"not JSON: {error}") from error
    return from_json(cls, value)


def from_json(cls: type[T], value: Any) -> T:
    """Builds a `cls` from a decoded JSON value. Raises FormatError."""
    try:
        return typing.cast(T, _reader(cls)(value))  # type: ignore[arg-type]
    except _Misfit as misfit:
        raise FormatError(f"{misfit.path.lstrip('.') or 'the object'}: {misfit.problem}") from misfit


class _Misfit(Exception):
    """A value that does not fit. On its way out it gathers where it was."""

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = path


def _misfit(expected: str, found: Any) -> _Misfit:
    return _Misfit(f"expected {expected}, found {json.dumps(found)[:60]}")


# Writers and readers are made once for each type: reports and pointers pass every second, for each node.

_PLAIN = frozenset({str, int, float, bool, type(None)})


@functools.cache
def _writer(cls: type[Any]) -> Callable[[Any], Any]:
    if dataclasses.is_dataclass(cls):
        names = tuple(f.name for f in dataclasses.fields(cls))
        return lambda value: {name: to_json(getattr(value, name)) for name in names}
    if issubclass(cls, enum.Enum):
        return lambda value: value.value
    if issubclass(cls, (tuple, list)):
        return lambda value: [to_json(item) for item in value]
    if issubclass(cls, (set, frozenset)):
        return lambda value: sorted(to_json(item) for item in value)
    if issubclass(cls, dict):
        return lambda value: {str(k): to_json(v) for k, v in value.items()}
    return lambda value: value


@functools.cache
def _reader(kind: Any) -> _Reader:
    origin = get_origin(kind)
    if kind is Any:
        return lambda value: value
    if origin in (Union, types.UnionType):
        return _union_reader(get_args(kind))
    if origin is dict:
        return _dict_reader(_reader(get_args(kind)[1]))
    if origin in (tuple, frozenset):
        return _list_reader(origin, get_args(kind))
    if dataclasses.is_dataclass(kind):
        return _dataclass_reader(typing.cast("type[Any]", kind))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _enum_reader(kind)
    return _scalar_reader(kind)


def _scalar_reader(kind: Any) -> _Reader:
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    if kind not in names:
        raise TypeError(f"the codec has no rule for {kind!r}")
    expected = names[kind]

    def read(value: Any) -> Any:
        found = type(value)
        if found is kind or (isinstance(value, kind) and found is not bool):
            return value
        if kind is float and found is int:
            return float(value)
        raise _misfit(expected, value)

    return read


def _enum_reader(kind: type[enum.Enum]) -> _Reader:
    members = {member.value: member for member in kind}

    def read(value: Any) -> Any:
        try:
            return members[value]
        except (KeyError, TypeError):  # TypeError: a list or an object
            raise _misfit("one of " + ", ".join(str(m.value) for m in kind), value) from None

    return read


def _union_reader(options: tuple[Any, ...]) -> _Reader:
    has_none = type(None) in options
    readers = [_reader(option) for option in options if option is not type(None)]

    def read(value: Any) -> Any:
        if value is None and has_none:
            return None
        for reader in readers[:-1]:
            with contextlib.suppress(_Misfit):
                return reader(value)
        return readers[-1](value)

    return read


def _dict_reader(item: _Reader) -> _Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _misfit("an object", value)
        found: dict[str, Any] = {}
        key = ""
        try:
            for key, entry in value.items():
                found[key] = item(entry)
        except _Misfit as misfit:
            misfit.path = f".{key}{misfit.path}"
            raise
        return found

    return read


def _list_reader(origin: Any, args: tuple[Any, ...]) -> _Reader:
    fixed = origin is tuple and not (len(args) == 2 and args[1] is Ellipsis)
    readers = [_reader(arg) for arg in (args if fixed else args[:1])]

    def read(value: Any) -> Any:
        if not isinstance(value, list):
            raise _misfit("a list", value)
        if fixed and len(readers) != len(value):
            raise _misfit(f"a list of {len(readers)}", value)
        found: list[Any] = []
        try:
            for place, entry in enumerate(value):
                found.append(readers[place if fixed else 0](entry))
        except _Misfit as misfit:
            misfit.path = f"[{len(found)}]{misfit.path}"
            raise
        return origin(found)

    return read


def _dataclass_reader(cls: type[Any]) -> _Reader:
    hints = typing.get_type_hints(cls)
    missing = dataclasses.MISSING
    fields = [
        (f.name, _reader(hints[f.name]), f.default is missing and f.default_factory is missing)
        for f in dataclasses.fields(cls)
    ]

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _misfit("an object", value)
        kwargs: dict[str, Any] = {}
        name = ""
        try:
            for name, reader, required in fields:
                if name in value:
                    kwargs[name] = reader(value[name])
                elif required:
                    raise _Misfit("missing")
        except _Misfit as misfit:
            misfit.path = f".{name}{misfit.path}"
            raise
        try:
            return cls(**kwargs)
        except (ValueError, TypeError) as error:
            raise _Misfit(str(error)) from error

    return read
