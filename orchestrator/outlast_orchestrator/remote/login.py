"""How a person gets onto a job's machine: OpenSSH's own client, with the keys that this server made."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from outlast_orchestrator.remote.access import LOGIN, Access
from outlast_orchestrator.remote.keys import host_key, login_key

KEY_FILE, HOSTS_FILE = "key", "known_hosts"


def ssh_command(access: Access, folder: Path, command: Sequence[str], ports: Sequence[int] = ()) -> list[str]:
    """The call of `ssh`; without a command it is a shell. Writes both keys into `folder`, which is private.

    `ports`: of the machine's own loopback, to be reached at the same numbers of this one's.

    Nothing of a person's own configuration changes what it trusts. Raises OSError.
    """
    name = f"outlast-{access.launch_id}"
    key, hosts = folder / KEY_FILE, folder / HOSTS_FILE
    key.touch(mode=0o600)
    key.write_text(login_key(access.key).private)
    hosts.write_text(f"{name} {host_key(access.key, access.launch_id).public}\n")
    options = {
        "IdentityFile": str(key),
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": str(hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "HostKeyAlias": name,
        "HostKeyAlgorithms": "ssh-ed25519",
    }
    if access.ways.proxy_command:
        options["ProxyCommand"] = access.ways.proxy_command
    if ports:
        options["ExitOnForwardFailure"] = "yes"  # one that is taken here is told, and not missed later
    words = [word for option, value in options.items() for word in ("-o", f"{option}={value}")]
    words += [word for port in ports for word in ("-L", f"127.0.0.1:{port}:127.0.0.1:{port}")]
    return ["ssh", *words, "-p", str(access.ways.port), f"{LOGIN}@{access.address}", *_quoted(command)]


def _quoted(command: Sequence[str]) -> list[str]:
    """As `outlast run` has it: one word is for the shell over there, several are quoted one by one."""
    return list(command) if len(command) < 2 else [shlex.join(command)]
