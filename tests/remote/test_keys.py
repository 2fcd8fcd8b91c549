"""Keys follow from the server's key: the same again after a restart, readable by OpenSSH, stored nowhere."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import paramiko
from tests.contracts.rows import instance
from tests.controller.stage import StageCloud
from tests.fakes.hand_clock import HandClock

from outlast_orchestrator.core.types import LaunchRequest
from outlast_orchestrator.remote.access import PLACE
from outlast_orchestrator.remote.boot import BYTES_MAX, boot_script, switch_of
from outlast_orchestrator.remote.keyed import Keyed
from outlast_orchestrator.remote.keys import host_key, login_key, with_host_key

KEY = b"k" * 32
LIFE_S = 604_800.0


def script() -> str:
    return boot_script(switch_of(LIFE_S, 1800.0, 600.0), login_key(KEY).public)


def test_a_key_is_read_by_those_who_use_it(tmp_path: Path) -> None:
    for launch in ("l1", "l2", "3f00"):
        pair = host_key(KEY, launch)
        file = tmp_path / launch
        file.write_text(pair.private)
        assert paramiko.Ed25519Key(filename=str(file)).get_base64() == pair.public.split()[1]


def test_openssh_reads_it_too(tmp_path: Path) -> None:
    pair, file = login_key(KEY), tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text(pair.private)
    said = subprocess.run(["ssh-keygen", "-y", "-f", file], capture_output=True, text=True, check=True).stdout
    assert said.split()[:2] == pair.public.split()


def test_each_launch_has_its_own_and_it_is_the_same_again() -> None:
    assert host_key(KEY, "l1") == host_key(KEY, "l1")
    found = {host_key(KEY, "l1"), host_key(KEY, "l2"), host_key(b"o" * 32, "l1"), login_key(KEY)}
    assert len(found) == 4


def test_what_is_saved_holds_no_private_key_and_what_is_sent_does() -> None:
    saved = replace(instance().request, user_data=script())
    sent = with_host_key(saved, KEY)
    secret = host_key(KEY, saved.launch_id).private.splitlines()[1]
    assert PLACE in saved.user_data
    assert "PRIVATE KEY" not in saved.user_data
    assert secret in sent.user_data
    assert PLACE not in sent.user_data
    assert sent == with_host_key(saved, KEY), "a repeat is the same request"
    assert len(sent.user_data.encode()) <= BYTES_MAX


def test_the_cloud_gets_the_key_with_the_call() -> None:
    sent: list[LaunchRequest] = []
    saved = replace(instance().request, user_data=script())
    Keyed(StageCloud(HandClock(), on_launch=sent.append), KEY).launch(saved)
    assert sent == [with_host_key(saved, KEY)]
    assert sent != [saved]


def test_a_request_without_a_place_for_it_is_left_alone() -> None:
    request = instance().request
    assert with_host_key(request, KEY) is request


def test_the_switch_stands_before_everything_that_can_fail() -> None:
    text = script()
    assert (
        text.index("systemctl enable --now outlast-deadman") < text.index("ssh_host") < text.index("useradd")
    )
    assert f"{int(LIFE_S * 100)}" in text
