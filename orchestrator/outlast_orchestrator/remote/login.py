"""How a person gets onto a job's machine: OpenSSH's own client, with the keys that this server made."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from outlast_orchestrator.remote.boot import LOGIN
from outlast_orchestrator.remote.keys import host_key, login_key

KEY_FILE, HOSTS_FILE = "key", "known_hosts"
PORT = 22


@dataclass(frozen=True)
class Way:
    """To one machine. `key` is the server's; `proxy_command` as OpenSSH's, "": directly."""

    key: bytes
    launch_id: str
    address: str
    port: int = PORT
    proxy_command: str = ""


def ssh_command(way: Way, folder: Path, command: Sequence[str]) -> list[str]:
    """The call of `ssh`; without a command it is a shell. Writes both keys into `folder`, which is private.

    Nothing of a person's own configuration changes what it trusts. Raises OSError.
    """
    name = f"outlast-{way.launch_id}"
    key, hosts = folder / KEY_FILE, folder / HOSTS_FILE
    key.touch(mode=0o600)
    key.write_text(login_key(way.key).private)
    hosts.write_text(f"{name} {host_key(way.key, way.launch_id).public}\n")
    options = {
        "IdentityFile": str(key),
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": str(hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "HostKeyAlias": name,
        "HostKeyAlgorithms": "ssh-ed25519",
    }
    if way.proxy_command:
        options["ProxyCommand"] = way.proxy_command
    words = [word for option, value in options.items() for word in ("-o", f"{option}={value}")]
    return ["ssh", *words, "-p", str(way.port), f"{LOGIN}@{way.address}", *_quoted(command)]


def _quoted(command: Sequence[str]) -> list[str]:
    """As `outlast run` has it: one word is for the shell over there, several are quoted one by one."""
    return list(command) if len(command) < 2 else [shlex.join(command)]
