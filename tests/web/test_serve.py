"""Listening: on loopback in clear, elsewhere under TLS only, and a taken port is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes.api import Api

from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.web.app import create_app
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
