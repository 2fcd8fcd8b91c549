"""Turns the protocol's frozen dataclasses into JSON and back, telling exactly what does not fit. Pure.

The agent's base has no pydantic, and both sides must read objects that a newer version wrote: unknown
fields are ignored, missing fields take the dataclass's default, and everything else is an error that
names the place (`head.step: expected a whole number, found 'x'`).
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
import types
import typing
from typing import Any, TypeVar, Union, get_args, get_origin

T = TypeVar("T")


class FormatError(ValueError):
    """Bytes or a JSON value that are not what the protocol says; the message names place and reason."""


def to_json(value: Any) -> Any:
    """A JSON-ready copy of a dataclass tree: dataclass → dict, tuple → list, enum → its value."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (tuple, list)):
        return [to_json(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(to_json(item) for item in value)
    if isinstance(value, dict):
        return {str(k): to_json(v) for k, v in value.items()}
    return value


def dump(value: Any) -> bytes:
    """Canonical UTF-8 JSON: sorted keys, so that equal values are equal bytes."""
    return json.dumps(to_json(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def load(cls: type[T], body: bytes) -> T:
    """Reads `body` as one `cls`. Raises FormatError."""
    try:
        value = json.loads(body)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise FormatError(f"not JSON: {error}") from error
    return from_json(cls, value)


def from_json(cls: type[T], value: Any) -> T:
    """Builds a `cls` from a decoded JSON value. Raises FormatError."""
    return typing.cast(T, _read(cls, value, ""))


def _fail(path: str, expected: str, found: Any) -> FormatError:
    return FormatError(f"{path or 'the object'}: expected {expected}, found {json.dumps(found)[:60]}")


def _read(kind: Any, value: Any, path: str) -> Any:
    origin = get_origin(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return _read_union(kind, value, path)
    if origin in (tuple, frozenset, dict):
        return _read_container(origin, get_args(kind), value, path)
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(typing.cast("type[Any]", kind), value, path)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        try:
            return kind(value)
        except ValueError:
            raise _fail(path, "one of " + ", ".join(str(m.value) for m in kind), value) from None
    return _read_scalar(kind, value, path)


def _read_scalar(kind: Any, value: Any, path: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    if kind not in names:
        raise TypeError(f"the codec has no rule for {kind!r}")
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _fail(path, names[kind], value)
    return value


def _read_union(kind: Any, value: Any, path: str) -> Any:
    options = get_args(kind)
    if value is None and type(None) in options:
        return None
    errors: list[FormatError] = []
    for option in options:
        if option is type(None):
            continue
        try:
            return _read(option, value, path)
        except FormatError as error:
            errors.append(error)
    raise errors[0]


def _read_container(origin: Any, args: tuple[Any, ...], value: Any, path: str) -> Any:
    if origin is dict:
        if not isinstance(value, dict):
            raise _fail(path, "an object", value)
        return {k: _read(args[1], v, f"{path}.{k}".lstrip(".")) for k, v in value.items()}
    if not isinstance(value, list):
        raise _fail(path, "a list", value)
    if origin is tuple and not (len(args) == 2 and args[1] is Ellipsis):
        if len(args) != len(value):
            raise _fail(path, f"a list of {len(args)}", value)
        return tuple(_read(a, v, f"{path}[{i}]") for i, (a, v) in enumerate(zip(args, value, strict=True)))
    return origin(_read(args[0], item, f"{path}[{i}]") for i, item in enumerate(value))


@functools.cache
def _hints(cls: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _read_dataclass(cls: type[Any], value: Any, path: str) -> Any:
    if not isinstance(value, dict):
        raise _fail(path, "an object", value)
    hints = _hints(cls)  # type: ignore[arg-type]  # a class is hashable; typeshed says type[Any] is not
    kwargs: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        where = f"{path}.{field.name}".lstrip(".")
        if field.name in value:
            kwargs[field.name] = _read(hints[field.name], value[field.name], where)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise FormatError(f"{where}: missing")
    try:
        return cls(**kwargs)
    except FormatError:
        raise
    except (ValueError, TypeError) as error:
        raise FormatError(f"{path or 'the object'}: {error}") from error
