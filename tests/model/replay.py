"""Runs real code on the replies that it got so far, up to the next thing that it asks of the world.

An actor is deterministic: what it does next follows from its state at the last boundary (a verb that
returned) and the replies since then. So the explorer needs no threads and no greenlets: to take one more
step it copies that state, repeats the verb on the recorded replies, and sees what it asks for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import is_dataclass
from enum import Enum
from types import FunctionType, MethodType, TracebackType
from typing import Any

import xxhash
from tests.model.objects import Reply, Request

from outlast.bucket.writer import PointerWriter
from outlast.ports import Blob, ObjectInfo, Source


class NeedsReply(BaseException):  # no error: nothing in the product may handle it
    """The recorded replies are used up."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.request = request


class Port:
    """The world as an actor sees it: the bucket (`outlast.ports.Bucket`), and questions to the others."""

    def __init__(self) -> None:
        self._replies: deque[Reply] = deque()

    def load(self, replies: tuple[Reply, ...]) -> None:
        self._replies = deque(replies)

    def ask(self, method: str, key: str = "", body: bytes = b"", version: str = "") -> Any:
        request = Request(method, key, body, version)
        if not self._replies:
            raise NeedsReply(request)
        reply = self._replies.popleft()
        if reply.error is not None:
            raise reply.error(f"{key}: {reply.error.__name__}")
        return reply.value

    def get(self, key: str) -> Blob:
        found: Blob = self.ask("get", key)
        return found

    def create(self, key: str, body: bytes) -> str:
        return str(self.ask("create", key, body))

    def replace(self, key: str, body: bytes, version: str) -> str:
        return str(self.ask("replace", key, body, version))

    def put(self, key: str, body: bytes) -> None:
        self.ask("put", key, body)

    def upload(self, key: str, source: Source, wrote: Callable[[int], None]) -> None:
        self.ask("upload", key, bytes(source.read(0, source.size)))
        wrote(source.size)

    def stream(self, key: str, offset: int, length: int) -> Iterator[bytes]:
        body: bytes = self.ask("stream", key)
        return iter((body[offset : offset + length],))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return iter(self.ask("list", prefix))

    def delete(self, key: str) -> None:
        self.ask("delete", key)


class StillMailbox:
    """`outlast.ports.Mailbox` where all that will ever come is there already."""

    def __init__(self) -> None:
        self._items: deque[Any] = deque()

    def put(self, item: Any) -> None:
        self._items.append(item)

    def get(self, timeout_s: float | None) -> Any | None:
        return self._items.popleft()


class StillRuntime:
    """`outlast.ports.Runtime` without time: a sleep is over at once, since anything may happen meanwhile."""

    def monotonic_s(self) -> float:
        return 0.0

    def boot_s(self) -> float:
        return 0.0

    def wall_s(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        return

    def mailbox(self) -> StillMailbox:
        return StillMailbox()

    def spawn(self, name: str, run: Callable[[], None], *, gives_way: bool = False) -> None:
        run()

    def token(self, nbytes: int) -> str:
        return "0" * (2 * nbytes)

    def uniform(self) -> float:
        return 0.0


PORT = Port()
RUNTIME = StillRuntime()
_SHARED = (Port, StillRuntime)


def copied(value: Any, done: dict[int, Any] | None = None) -> Any:
    """A copy of an actor's state: what can change is copied, what can't is shared."""
    done = {} if done is None else done
    if isinstance(value, dict):
        return {key: copied(item, done) for key, item in value.items()}
    if isinstance(value, list):
        return [copied(item, done) for item in value]
    if isinstance(value, set):
        return set(value)
    if isinstance(value, MethodType):
        return MethodType(value.__func__, copied(value.__self__, done))
    if not _is_mutable(value):
        return value
    if id(value) not in done:
        done[id(value)] = twin = object.__new__(type(value))
        vars(twin).update({name: copied(item, done) for name, item in vars(value).items()})
    return done[id(value)]


def fingerprint(value: Any, boundary: bool = False) -> Any:
    """Equal for two values that the code can't tell apart.

    `boundary`: a new verb begins, and each begins by reading the pointer.
    """
    if value is None or isinstance(value, (str, bytes, int, Enum, type, *_SHARED)):
        return value
    if isinstance(value, dict):
        return frozenset((key, fingerprint(item)) for key, item in value.items())
    if isinstance(value, (list, tuple, deque)):
        return tuple(fingerprint(item) for item in value)
    if isinstance(value, set):
        return frozenset(value)
    if isinstance(value, BaseException):
        return (type(value), str(value))
    if isinstance(value, MethodType):
        return value.__func__.__qualname__
    if isinstance(value, FunctionType):
        cells = value.__closure__ or ()
        return (value.__qualname__, *(fingerprint(cell.cell_contents) for cell in cells))
    if is_dataclass(value) and not _is_mutable(value):
        with suppress(TypeError):  # some hold what can change
            hash(value)
            return value
    if isinstance(value, xxhash.xxh3_128):
        return value.digest()
    inside = vars(value) if hasattr(value, "__dict__") else {}
    dead = _dead(value, boundary)
    return (
        type(value),
        *(fingerprint(item, boundary) for name, item in sorted(inside.items()) if name not in dead),
    )


def _dead(value: Any, boundary: bool) -> tuple[str, ...]:
    """Variables that are never read again before they are written."""
    if not isinstance(value, PointerWriter):
        return ()
    claims = ("_claims",) if value._settled else ()
    return (*claims, "pointer", "_version") if boundary else claims


def place_in_code(trace: TracebackType | None) -> Any:
    """Where the code stands that asked, and what it holds in its variables, from the outermost call on."""
    found = []
    while trace is not None:
        frame = trace.tb_frame
        found.append((frame.f_code, trace.tb_lasti, fingerprint(dict(frame.f_locals))))
        trace = trace.tb_next
    return tuple(found)


def _is_mutable(value: Any) -> bool:
    if isinstance(value, (*_SHARED, Enum, type)) or callable(value) or not hasattr(value, "__dict__"):
        return False
    settings = getattr(type(value), "__dataclass_params__", None)
    return settings is None or not settings.frozen
