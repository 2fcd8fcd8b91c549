"""Every kind of bucket that the contract suite runs on: a new kind is one line in KINDS."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import pytest
from tests.fakes.bucket import MemoryBucket
from tests.servers.seaweedfs import ADMIN, S3Server

from outlast.bucket.client import open_bucket
from outlast.ports import Bucket
from outlast_orchestrator.simulate.bucket import BucketServer, SimBucket
from outlast_orchestrator.simulate.clock import SimClock
from outlast_orchestrator.simulate.history import History
from outlast_orchestrator.simulate.network import Network

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


def _simulated(request: pytest.FixtureRequest) -> Open:
    clock = SimClock(zlib.crc32(request.node.nodeid.encode()))
    server, network = BucketServer(clock, History()), Network(clock)
    return lambda: SimBucket(server, network, "here", "test")


KINDS: dict[str, Callable[[pytest.FixtureRequest], Open]] = {
    "folder": _folder,
    "s3": _s3,
    "memory": _memory,
    "simulated": _simulated,
}
