"""The seams of the agent: time, threads, the controller and the bucket as it sees them.

The agent is written against these, so that the very same loop runs on a node and in the simulation.
Shared state between tasks is forbidden: tasks own what they own and talk through mailboxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from outlast.protocol.messages import Reply, Report


class Mailbox(Protocol):
    """A queue between tasks."""

    def put(self, item: Any) -> None: ...

    def get(self, timeout_s: float | None) -> Any | None:
        """The next item, or None when none came within `timeout_s` (None: wait for ever)."""


class Runtime(Protocol):
    """Time, randomness and tasks. The only implementations: `outlast.clock` and the simulation."""

    def monotonic_s(self) -> float: ...

    def boot_s(self) -> float:
        """Seconds on a clock that also runs while the machine or the process is frozen (CLOCK_BOOTTIME)."""

    def wall_s(self) -> float:
        """Seconds since 1970. For people and file names: no decision compares it."""

    def sleep(self, seconds: float) -> None: ...

    def mailbox(self) -> Mailbox: ...

    def spawn(self, name: str, run: Callable[[], None], *, gives_way: bool = False) -> None:
        """Starts a task. An exception that leaves it ends the process: none may be lost.

        `gives_way`: it moves much data in the background, and the trainer's use of processors and disks
        comes before it.
        """

    def token(self, nbytes: int) -> str:
        """Random hex digits, fit for nonces and ids."""

    def uniform(self) -> float:
        """A random number in [0, 1), for jitter."""


class LinkDown(Exception):
    """The controller could not be reached, or did not answer in time; the report may have arrived."""


class LinkRefused(Exception):
    """The controller answered that this node's token or job is not welcome (401, 403, 404)."""


class Link(Protocol):
    """The way to the controller's API."""

    @property
    def witness(self) -> bool:
        """Somebody else hears the reports: one that is answered shows that this node lives."""

    def report(self, report: Report) -> Reply:
        """Sends a report. Raises LinkDown, LinkRefused."""

    def hang(self, timeout_s: float) -> Reply | None:
        """Waits for commands on a connection whose end the controller sees at once. Raises as report."""


class BucketError(Exception):
    """Base of what a bucket can answer. The message names the key."""


class Missing(BucketError):
    """There is no such object."""


class Exists(BucketError):
    """A create found an object under that key."""


class Conflict(BucketError):
    """A conditional write found another version than the one it was built on."""


class Unsure(BucketError):
    """Time-out, lost reply, 5xx: a write may or may not have been applied; a read told nothing."""


class Keyless(Unsure):
    """There are no valid keys for the bucket now, since the controller who gives them can't be reached."""


class Denied(BucketError):
    """The credentials do not allow this, or the bucket does not exist: trying again will not help soon."""


@dataclass(frozen=True)
class Blob:
    """A small object with the version that a conditional write needs."""

    body: bytes
    version: str


@dataclass(frozen=True)
class ObjectInfo:
    key: str
    size: int
    version: str


class UploadCancelled(Exception):
    """What is being sent is not wanted any more (fenced, or called off): raised by its source."""


class Source(Protocol):
    """Bytes to upload: a stable file of a known size that can be read more than once."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes | memoryview:
        """Exactly `length` bytes at `offset`. Raises OSError, UploadCancelled.

        A memoryview costs no memory of its own (a mapped file), so more of them may be on their way at once.
        """


class Bucket(Protocol):
    """An object store, seen from one prefix: keys are relative to it.

    Every method may raise Unsure and Denied besides what it names. No method retries by itself beyond
    what is free of doubt (a read, or a write that is known not to have been applied).
    """

    def get(self, key: str) -> Blob:
        """Raises Missing."""

    def create(self, key: str, body: bytes) -> str:
        """Writes only if the key is free (If-None-Match: *); returns the version. Raises Exists."""

    def replace(self, key: str, body: bytes, version: str) -> str:
        """Writes only over that version (If-Match); returns the new one. Raises Conflict."""

    def put(self, key: str, body: bytes) -> None:
        """Writes without a condition: for status objects and pins only."""

    def upload(self, key: str, source: Source, wrote: Callable[[int], None]) -> None:
        """Writes a big object under a key that nobody else uses; durable on return.

        `wrote` is called with the bytes done so far. An interrupted upload leaves no visible object.
        """

    def stream(self, key: str, offset: int, length: int) -> Iterator[bytes | memoryview]:
        """`length` bytes from `offset`, as they arrive; a chunk is good until the next is asked for.

        Raises Missing.
        """

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects under the prefix, in key order, strongly consistent."""

    def delete(self, key: str) -> None:
        """An absent object is success."""
