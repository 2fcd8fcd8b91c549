"""Runs real code on the replies that it got so far, up to the next thing that it asks of the world.

An actor is deterministic: what it does next follows from its state at the last boundary (a verb that
returned) and the replies since then. So the explorer needs no threads and no greenlets: to take one more
step it copies that state, repeats the verb on the recorded replies, and sees what it asks for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from enum import Enum
from types import FunctionType, MethodType, TracebackType
from typing import Any, TypeVar

import xxhash
from tests.model.objects import Reply, Request

from outlast.bucket.writer import PointerWriter
from outlast.ports import Blob, ObjectInfo, Source

T = TypeVar("T")


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


class Nature(Enum):
    """What a value is to a copy and to a fingerprint: it follows from its type alone."""

    PLAIN = "plain"  # it is its own fingerprint
    DICT = "dict"
    SEQUENCE = "sequence"
    SET = "set"
    ERROR = "error"
    METHOD = "method"
    FUNCTION = "function"
    FROZEN = "frozen"
    HASH = "hash"
    OBJECT = "object"


class _ByType(dict[type[Any], T]):
    """What `find` says of each type, found once."""

    def __init__(self, find: Callable[[type[Any]], T]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, kind: type[Any]) -> T:
        found = self[kind] = self._find(kind)
        return found


def _nature(kind: type[Any]) -> Nature:
    for nature, kinds in (
        (Nature.PLAIN, (type(None), str, bytes, int, Enum, type, *_SHARED)),
        (Nature.DICT, (dict,)),
        (Nature.SEQUENCE, (list, tuple, deque)),
        (Nature.SET, (set,)),
        (Nature.ERROR, (BaseException,)),
        (Nature.METHOD, (MethodType,)),
        (Nature.FUNCTION, (FunctionType,)),
    ):
        if issubclass(kind, kinds):
            return nature
    if is_dataclass(kind) and not _is_mutable(kind):
        return Nature.FROZEN
    return Nature.HASH if issubclass(kind, xxhash.xxh3_128) else Nature.OBJECT


def _is_mutable(kind: type[Any]) -> bool:
    """Whether values of this type hold variables that may change."""
    calls = any("__call__" in vars(one) for one in kind.__mro__)
    if issubclass(kind, (*_SHARED, Enum, type)) or calls or kind.__dictoffset__ == 0:
        return False
    settings = getattr(kind, "__dataclass_params__", None)
    return settings is None or not settings.frozen


_NATURE, _MUTABLE = _ByType(_nature), _ByType(_is_mutable)


def copied(value: Any, done: dict[int, Any] | None = None) -> Any:
    """A copy of an actor's state: what can change is copied, what can't is shared."""
    done = {} if done is None else done
    kind = type(value)
    nature = _NATURE[kind]
    if nature is Nature.PLAIN:
        return value
    if nature is Nature.DICT:
        return {key: copied(item, done) for key, item in value.items()}
    if kind is list:
        return [copied(item, done) for item in value]
    if nature is Nature.SET:
        return set(value)
    if nature is Nature.METHOD:
        return MethodType(value.__func__, copied(value.__self__, done))
    if not _MUTABLE[kind]:
        return value
    if id(value) not in done:
        done[id(value)] = twin = object.__new__(kind)
        vars(twin).update({name: copied(item, done) for name, item in vars(value).items()})
    return done[id(value)]


def fingerprint(value: Any, boundary: bool = False, known: dict[int, Any] | None = None) -> Any:
    """Equal for two values that the code can't tell apart.

    `boundary`: a new verb begins, and each begins by reading the pointer. `known`: of objects that were met
    before and can't have changed since.
    """
    nature = _NATURE[type(value)]
    if nature is Nature.PLAIN:
        return value
    if nature is Nature.FROZEN:
        try:
            hash(value)
        except TypeError:  # some hold what can change
            return _of_object(value, boundary, known)
        return value
    if nature is Nature.OBJECT:
        if known is None or boundary:
            return _of_object(value, boundary, known)
        if id(value) not in known:
            known[id(value)] = _of_object(value, boundary, known)
        return known[id(value)]
    return _of_collection(nature, value, known)


def _of_collection(nature: Nature, value: Any, known: dict[int, Any] | None) -> Any:
    if nature is Nature.DICT:
        return frozenset([(key, fingerprint(item, False, known)) for key, item in value.items()])
    if nature is Nature.SEQUENCE:
        return tuple([fingerprint(item, False, known) for item in value])
    if nature is Nature.SET:
        return frozenset(value)
    if nature is Nature.ERROR:
        return (type(value), str(value))
    if nature is Nature.METHOD:
        return value.__func__.__qualname__
    if nature is Nature.FUNCTION:
        cells = value.__closure__ or ()
        return (value.__qualname__, *[fingerprint(cell.cell_contents, False, known) for cell in cells])
    return value.digest()


def _of_object(value: Any, boundary: bool, known: dict[int, Any] | None) -> Any:
    inside = vars(value) if hasattr(value, "__dict__") else {}
    dead = _dead(value, boundary)
    return (
        type(value),
        *[fingerprint(item, boundary, known) for name, item in sorted(inside.items()) if name not in dead],
    )


def _dead(value: Any, boundary: bool) -> tuple[str, ...]:
    """Variables that are never read again before they are written."""
    if not isinstance(value, PointerWriter):
        return ()
    claims = ("_claims",) if value._settled else ()
    return (*claims, "pointer", "_version") if boundary else claims


def place_in_code(trace: TracebackType | None) -> Any:
    """Where the code stands that asked, and what it holds in its variables, from the outermost call on."""
    found, known = [], dict[int, Any]()
    while trace is not None:
        frame = trace.tb_frame
        found.append((frame.f_code, trace.tb_lasti, fingerprint(dict(frame.f_locals), False, known)))
        trace = trace.tb_next
    return tuple(found)
