"""Listening: on loopback in clear, elsewhere under TLS only, and a taken port is told."""

from __future__ import annotations

import gc
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from tests.fakes.api import Api

from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.web.app import create_app
from outlast_orchestrator.web.hang import Hangs
from outlast_orchestrator.web.serve import ApiServer, Listen, check


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "my.host"])
def test_the_open_network_needs_tls(host: str) -> None:
    with pytest.raises(UserError, match="cert_file and key_file"):
        check(Listen(host=host))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    check(Listen(host=host))


def test_half_a_pair_and_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="both"):
        check(Listen(cert_file=tmp_path / "c.pem"))
    with pytest.raises(UserError, match=r"c\.pem"):
        check(Listen(cert_file=tmp_path / "c.pem", key_file=tmp_path / "k.pem"))


def test_a_taken_port_is_told_before_anything_starts(api: Api) -> None:
    port = int(api.url.rpartition(":")[2])
    with pytest.raises(UserError, match=f"{port}"):
        ApiServer(create_app(api.services()), Listen(port=port))


def test_whoever_comes_while_it_stops_leaves_nothing_open() -> None:
    """An accepted socket of which nothing was made would be told as one that was never closed."""
    found: list[str] = []
    before = sys.unraisablehook
    sys.unraisablehook = lambda what: found.append(str(what.exc_value))
    try:
        for _ in range(3):
            _stopped_under_a_flood()
            gc.collect()
    finally:
        sys.unraisablehook = before
    assert found == []


def _stopped_under_a_flood() -> None:
    app = FastAPI()
    app.state.hangs = Hangs()
    server = ApiServer(app, Listen())
    server.start()
    parts = urlsplit(server.url)
    over, links = threading.Event(), list[socket.socket]()

    def come() -> None:
        while not over.is_set():
            with suppress(OSError):
                links.append(socket.create_connection((parts.hostname or "", parts.port or 0), timeout=1))

    flood = threading.Thread(target=come)
    flood.start()
    while len(links) < 20:
        over.wait(0.001)
    server.stop()
    over.set()
    flood.join()
    for link in links:
        link.close()
