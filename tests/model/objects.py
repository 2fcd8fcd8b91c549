"""The model's bucket: what each request does to the objects in it, at one instant."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple, TypeAlias

from outlast.bucket.manifest import hash_bytes
from outlast.ports import Blob, Conflict, Exists, Missing, ObjectInfo, Unsure
from outlast.protocol.codec import load
from outlast.protocol.objects import POINTER_KEY, Manifest, Pointer

Objects: TypeAlias = dict[str, bytes]  # never changed in place


class Request(NamedTuple):
    """One operation of the bucket port; or, with a method of its own, a question to somebody else."""

    method: str
    key: str
    body: bytes = b""
    version: str = ""


class Reply(NamedTuple):
    value: object = None
    error: type[Exception] | None = None


READS = ("get", "list", "stream")
WRITES = ("create", "replace", "put", "upload", "delete")
CONDITIONAL = ("create", "replace")
UNSURE = Reply(error=Unsure)


@cache
def version_of(body: bytes) -> str:
    """By content, as an ETag is: the weakest that a store may give."""
    return hash_bytes(body)


@cache
def pointer_in(body: bytes) -> Pointer:
    return load(Pointer, body)


@cache
def manifest_in(body: bytes) -> Manifest:
    return load(Manifest, body)


def pointer_of(objects: Objects) -> Pointer | None:
    body = objects.get(POINTER_KEY)
    return None if body is None else pointer_in(body)


def perform(objects: Objects, request: Request) -> tuple[Objects, Reply]:
    """The objects afterwards, and what the sender is told."""
    if request.method in READS:
        return objects, _read(objects, request)
    there = objects.get(request.key)
    if request.method == "create" and there is not None:
        return objects, Reply(error=Exists)
    if request.method == "replace" and (there is None or version_of(there) != request.version):
        return objects, Reply(error=Conflict)
    if request.method == "delete":
        return {key: body for key, body in objects.items() if key != request.key}, Reply()
    return {**objects, request.key: request.body}, Reply(version_of(request.body))


def _read(objects: Objects, request: Request) -> Reply:
    if request.method == "list":
        found = sorted(key for key in objects if key.startswith(request.key))
        return Reply(tuple(ObjectInfo(key, len(objects[key]), version_of(objects[key])) for key in found))
    body = objects.get(request.key)
    if body is None:
        return Reply(error=Missing)
    return Reply(body if request.method == "stream" else Blob(body, version_of(body)))
