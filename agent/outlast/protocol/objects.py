"""What lies in the bucket: the pointer, manifests, and where each object has its place. Pure.

`docs/protocol.md` gives the bytes and the rules; the verbs that change the pointer are judged in
`outlast.bucket.pointer`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

FORMAT = 1
HASH_ALGORITHM = "xxh3-128"  # written before each hash, `xxh3-128:<hex>`, so that it can change
CHUNK_BYTES = 32 << 20  # what a new manifest has a hash of its own for


class PointerState(str, enum.Enum):
    RUNNING = "running"
    RELEASED = "released"
    ENDED = "ended"


@dataclass(frozen=True)
class InstanceRef:
    """A machine of an attempt as the pointer names it, so that a controller without a store can find it."""

    cloud: str
    region: str
    id: str


@dataclass(frozen=True)
class ManifestRef:
    """A checkpoint as the pointer names it: the manifest's key under the job's prefix, its hash, its step."""

    key: str
    hash: str
    step: int

    @property
    def name(self) -> str:
        """`<step>-g<generation>-<nonce>`, the checkpoint's name everywhere."""
        return self.key.removeprefix("manifests/").removesuffix(".json")


@dataclass(frozen=True)
class Pointer:
    """`latest.json`: which attempt owns the job, what to resume from, and what may still be used."""

    format: int
    owner: str
    job: str
    generation: int
    writer: str  # instance id plus random; on the node's disk and reported before the claim
    instances: tuple[InstanceRef, ...]
    seq: int  # grows by one with every write of any writer: two bodies are never equal
    state: PointerState
    head: ManifestRef | None
    kept: tuple[ManifestRef, ...]  # the head included; leaving is one-way
    at: str  # ISO 8601, for people: nothing is ever decided by it
    pinned: tuple[str, ...] = ()  # names of checkpoints
    exit_code: int | None = None
    why: str = ""
    started_from: ManifestRef | None = None  # the checkpoint this attempt resumed from
    started_why: str = ""


class Confidence(str, enum.Enum):
    STRONG = "strong"  # the framework's own marker says that it is complete
    HEURISTIC = "heuristic"  # quiet, closed, whole archives, the same file names as before


@dataclass(frozen=True)
class FileEntry:
    """One file of a checkpoint. `key` is under the job's prefix, and may be an object of the parent.

    A file longer than one chunk has the hash of each `chunk_bytes` of it besides, hex digits by the algorithm
    of `hash`: so that its parts can be fetched at once, each checked as it arrives.
    """

    path: str
    key: str
    size: int
    hash: str
    chunk_bytes: int = 0
    chunks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """A whole checkpoint: created after all its data is durable, never changed."""

    format: int
    owner: str
    job: str
    generation: int
    attempt: str
    name: str
    step: int
    at: str
    world_size: int
    kind: str
    confidence: Confidence
    files: tuple[FileEntry, ...]
    parent: ManifestRef | None = None
    revision: int = 1
    code: str = ""  # hash of the packed working folder
    final: bool = False  # a save that a notice or a drain forced
    gate: str = ""  # what the health gate found, in words

    @property
    def bytes(self) -> int:
        return sum(f.size for f in self.files)


@dataclass(frozen=True)
class GangStart:
    """Body of `gangs/g<g>.json`: what a gang starts from, written once by its first node after its claim."""

    generation: int
    writer: str  # of the first node, as the pointer names it
    start: ManifestRef | None  # the checkpoint that every node restores; None: from the beginning
    address: str  # of the first node, for the trainers to meet at
    port: int


@dataclass(frozen=True)
class Part:
    """What one node of a gang has of a checkpoint; created after all its data. `skipped`: nothing, for a
    newer save had taken its place."""

    format: int
    owner: str
    job: str
    generation: int
    attempt: str
    rank: int
    step: int
    name: str  # of the folder under `checkpoints/` where its data lies
    files: tuple[FileEntry, ...] = ()
    skipped: bool = False


@dataclass(frozen=True)
class GenerationTaken:
    """Body of `generations/<g>`: who took the number. The number is taken by creating the object."""

    generation: int
    owner: str
    attempt: str
    at: str


POINTER_KEY = "latest.json"
ORDERED = "told to"  # in the `why` of a release: the controller wanted it, not the cloud or a fault
UNHEALTHY = "its saves are unhealthy"  # at its begin: the health gate refused too many in a row


def job_prefix(job: str) -> str:
    return f"jobs/{job}/"


def checkpoint_name(step: int, generation: int, nonce: str) -> str:
    return f"{step:09d}-g{generation}-{nonce}"


def generation_of(name: str) -> int:
    """The generation in a checkpoint's name. Raises ValueError when it is not such a name."""
    parts = name.split("-")
    if len(parts) != 3 or not parts[1].startswith("g"):
        raise ValueError(f"{name!r} is not a checkpoint's name (<step>-g<generation>-<nonce>)")
    return int(parts[1][1:])


def manifest_key(name: str) -> str:
    return f"manifests/{name}.json"


def data_prefix(name: str) -> str:
    return f"checkpoints/{name}/"


def generation_key(generation: int) -> str:
    return f"generations/{generation}"


def gang_key(generation: int) -> str:
    return f"gangs/g{generation}.json"


def part_key(name: str, rank: int) -> str:
    return f"{data_prefix(name)}outlast-part-r{rank}.json"


def siblings_prefix(name: str) -> str:
    """Under it lie the data and the parts of all nodes for the same step of the same generation."""
    return f"checkpoints/{name.rpartition('-')[0]}-"


def pin_key(name: str) -> str:
    return f"pins/{name}"


def status_key(generation: int, rank: int) -> str:
    return f"status/g{generation}-r{rank}.json"


def log_prefix(generation: int, rank: int) -> str:
    return f"logs/g{generation}-r{rank}/"


def log_key(generation: int, rank: int, boot: str, number: int) -> str:
    return f"{log_prefix(generation, rank)}{boot}-{number:06d}"


def code_key(digest: str) -> str:
    return f"code/{digest}"


def output_key(path: str) -> str:
    return f"outputs/{path}"
