"""The server and its storage: what it costs to look at it for ever."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contracts.rows import job
from tests.server.test_server import Servers
from tests.servers.canned_s3 import CannedS3, canned_s3, s3_error

from outlast_orchestrator.controller.clock import SystemClock
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.store.db import open_store

READINGS, CONNECTIONS_MAX = 6, 3  # a client has one pool for reads and one for writes
LIMIT_S = 60.0


def test_every_look_at_a_pointer_uses_the_connection_of_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client for each look would open a connection and ask for credentials each time."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    servers = Servers(tmp_path / "home")
    with canned_s3(s3_error(404, "NoSuchKey")) as bucket:
        bucket.keeps = True
        store = open_store(f"sqlite:///{servers.home / 'outlast.db'}", SystemClock())
        store.submit(
            replace(job(), owner=store.owner(), storage=bucket.url), Event(Kind.JOB_SUBMITTED, "", "j1")
        )
        store.close()
        try:
            servers.started()
            deadline_s = time.monotonic() + LIMIT_S
            while len(looks(bucket)) < READINGS:
                assert time.monotonic() < deadline_s, bucket.seen
                time.sleep(0.1)
        finally:
            servers.close()
    assert len(set(looks(bucket))) <= CONNECTIONS_MAX


def looks(bucket: CannedS3) -> list[int]:
    """The connection of each reading of the pointer."""
    return [
        peer
        for (verb, path), peer in zip(list(bucket.seen), list(bucket.peers), strict=False)
        if verb == "GET" and "latest.json" in path
    ]
