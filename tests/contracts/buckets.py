"""Every kind of bucket that the contract suite runs on: a new kind is one line in KINDS."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import pytest
from tests.fakes.bucket import MemoryBucket
from tests.servers import azurite, gcs
from tests.servers.seaweedfs import ADMIN, S3Server

from outlast.bucket.client import open_bucket
from outlast.ports import Bucket
from outlast_orchestrator.simulate.bucket import BucketServer, SimBucket
from outlast_orchestrator.simulate.clock import SimClock
from outlast_orchestrator.simulate.history import History
from outlast_orchestrator.simulate.network import Network

Open = Callable[[], Bucket]


def _prefix(request: pytest.FixtureRequest) -> str:
    return f"case-{zlib.crc32(request.node.nodeid.encode()):08x}"


def _folder(request: pytest.FixtureRequest) -> Open:
    root = request.getfixturevalue("tmp_path") / "bucket"
    root.mkdir()
    return lambda: open_bucket(f"file://{root}")


def _s3(request: pytest.FixtureRequest) -> Open:
    server: S3Server = request.getfixturevalue("s3_server")
    return lambda: open_bucket(server.url(prefix=_prefix(request)), options=ADMIN)


def _gcs(request: pytest.FixtureRequest) -> Open:
    server: gcs.GcsServer = request.getfixturevalue("gcs_store")
    return lambda: open_bucket(server.url(prefix=_prefix(request)), options=gcs.KEYS)


def _azure(request: pytest.FixtureRequest) -> Open:
    server: azurite.AzureServer = request.getfixturevalue("azure_server")
    return lambda: open_bucket(server.url(prefix=_prefix(request)), options=azurite.KEYS)


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
    "gcs": _gcs,
    "azure": _azure,
    "memory": _memory,
    "simulated": _simulated,
}
