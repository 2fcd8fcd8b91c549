"""Every kind of bucket that the contract suite runs on: a new kind is one line in KINDS."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import pytest
from tests.fakes.bucket import MemoryBucket
from tests.servers.seaweedfs import ADMIN, S3Server

from outlast.bucket.client import open_bucket
from outlast.ports import Bucket

Open = Callable[[], Bucket]


def _folder(request: pytest.FixtureRequest) -> Open:
    root = request.getfixturevalue("tmp_path") / "bucket"
    root.mkdir()
    return lambda: open_bucket(f"file://{root}")


def _s3(request: pytest.FixtureRequest) -> Open:
    server: S3Server = request.getfixturevalue("s3_server")
    prefix = f"case-{zlib.crc32(request.node.nodeid.encode()):08x}"
    return lambda: open_bucket(server.url(prefix=prefix), options=ADMIN)


def _memory(request: pytest.FixtureRequest) -> Open:
    bucket = MemoryBucket(chunk_bytes=1 << 20)
    return lambda: bucket


KINDS: dict[str, Callable[[pytest.FixtureRequest], Open]] = {"folder": _folder, "s3": _s3, "memory": _memory}
