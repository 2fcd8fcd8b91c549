"""A machine that has booted by its boot script, and the hands that install the agent on it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from tests.contracts.rows import instance
from tests.servers.machine import Machine

from outlast_orchestrator.core.errors import Transient
from outlast_orchestrator.core.ports import AgentConfig
from outlast_orchestrator.core.types import Instance
from outlast_orchestrator.remote.access import Ways
from outlast_orchestrator.remote.boot import boot_script, switch_of
from outlast_orchestrator.remote.bundle import Bundles
from outlast_orchestrator.remote.install import SshRemote
from outlast_orchestrator.remote.keys import login_key, with_host_key

KEY = b"k" * 32
TOKEN = "the-token-of-this-node"
CONFIG = AgentConfig(
    api_url="https://127.0.0.1:1",  # nobody is there, and the agent goes on asking
    token=TOKEN,
    job="job-1",
    owner="own",
    instance="l1",
    storage="file:///mnt/bucket",
    lease_s=600.0,
    cloud="aws",
    instance_id="i-1",
)
LIMIT_S = 60.0


def user_data(key: bytes = KEY, install_limit_s: float = 1800.0) -> str:
    script = boot_script(switch_of(3600.0, install_limit_s, 600.0), login_key(key).public)
    return with_host_key(replace(instance().request, user_data=script), key).user_data


def remote(kept: Path, key: bytes = KEY, ways: Ways = Ways(), authority: str = "") -> SshRemote:  # noqa: B008
    return SshRemote("aws", key, Bundles(kept), ways, authority)


def record(node: Machine) -> Instance:
    return instance(id="i-1", address=node.address)


def install(remote: SshRemote, record: Instance, config: AgentConfig = CONFIG) -> list[str]:
    """Repeats it as the controller does; what went wrong until it went well."""
    troubles: list[str] = []
    deadline_s = time.monotonic() + LIMIT_S
    while (trouble := _trouble(remote, record, config)) is not None:
        troubles.append(trouble)
        assert time.monotonic() < deadline_s, troubles
        time.sleep(0.2)
    return troubles


def _trouble(remote: SshRemote, record: Instance, config: AgentConfig) -> str | None:
    try:
        remote.install(record, config)
    except Transient as error:
        return str(error)
    return None


def main_pid(node: Machine) -> int:
    return int(node.run("systemctl show -P MainPID outlast-agent"))


def until(node: Machine, script: str) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    while node.run(f"if {script}; then echo yes; fi").strip() != "yes":
        assert time.monotonic() < deadline_s, node.run("journalctl --no-pager -u outlast-agent | tail -30")
        time.sleep(0.1)
