"""A machine of its own on this one: systemd as its first process, an address, sshd, and user data that runs.

Namespaces and an overlay over this machine's root make it, in about two seconds; nothing it does is seen
outside. It needs root, systemd, openssh-server and sudo. Its image is whatever this machine has.
"""

from __future__ import annotations

import ctypes
import functools
import os
import pty
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("machine.sh")
NEEDED = {"/lib/systemd/systemd": "systemd", "/usr/sbin/sshd": "openssh-server", "/usr/bin/sudo": "sudo"}
NET = "10.213"  # a /30 for each machine
METADATA = "169.254.169.254"  # where a cloud's machines find its metadata service: inside, on the loopback
LIMIT_S = 60.0
SPACES = ("mount", "pid", "uts", "ipc", "net", "cgroup")
CLONE_NEWNET = 0x40000000
UNSHARE = ["unshare", *(f"--{one}" for one in SPACES), "--fork", "--kill-child=KILL"]
ENTER = ["nsenter", "-m", "-p", "-n", "-i", "-u", "-r", "-w"]


@dataclass
class Machine:
    address: str
    host_address: str  # of the side outside: what it reaches this machine by
    process: subprocess.Popen[bytes]
    link: str  # its network's end outside
    console: bytearray = field(default_factory=bytearray)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def run(self, script: str) -> str:
        """As root, inside."""
        done = subprocess.run(
            [*ENTER, "-t", str(self._init()), "sh", "-c", script],
            capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
        return done.stdout

    def cut(self) -> None:
        """From the network, without a word: nobody's connection is closed."""
        subprocess.run(["ip", "link", "set", self.link, "down"], check=True, capture_output=True)

    def power_off(self) -> None:
        """As when the cloud takes it away: nothing in it gets to say anything."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(LIMIT_S)

    def wait_until_off(self) -> None:
        self.process.wait(LIMIT_S)

    def listen(self, address: str, port: int) -> socket.socket:
        """A socket of ours that is bound to an address inside."""
        with ThreadPoolExecutor(1) as threads:
            return threads.submit(_bound_inside, self.process.pid, address, port).result()

    def _init(self) -> int:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])


@contextmanager
def machine(folder: Path, user_data: str) -> Iterator[Machine]:
    """`folder` is made, and only a place to mount on. The user data has begun to run on return, or will."""
    skip_without_machines()
    script = folder.with_name(f"{folder.name}.user-data")
    folder.mkdir(parents=True)
    script.write_text(user_data)
    outside, inside, name = _network()
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*UNSHARE, "/bin/sh", str(SCRIPT), str(folder), inside, str(script)],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    made = Machine(inside, outside, process, name)
    reader = threading.Thread(target=_read, args=(master, made.console), daemon=True)
    reader.start()
    try:
        _connect(made, name)
        yield made
    finally:
        made.power_off()
        reader.join(LIMIT_S)
        os.close(master)
        subprocess.run(["ip", "link", "del", name], check=False, capture_output=True)


def skip_without_machines() -> None:
    missing = [package for path, package in NEEDED.items() if not Path(path).exists()]
    missing += [] if shutil.which("ip") else ["iproute2"]
    if os.geteuid() != 0 or missing:
        why = f"install {' '.join(missing)}" if missing else "run the tests as root"
        assert not os.environ.get("CI"), f"in CI nothing is skipped: {why}"
        pytest.skip(f"a machine of its own can be made only by root, with systemd, sshd and sudo: {why}")
    if refusal := _refusal():
        pytest.skip(f"this kernel gives no machine of its own: {refusal}")


@functools.cache
def _refusal() -> str:
    """A container may be root and still not be allowed to have namespaces."""
    probe = "mount -t tmpfs tmpfs /mnt && ip link add outlast type veth peer name outlastp"
    done = subprocess.run([*UNSHARE, "sh", "-c", probe], capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else ""


def _network() -> tuple[str, str, str]:
    """Addresses outside and inside, and the name of the link outside: taken as long as that link is there."""
    for number in range(1 << 14):
        base = f"{NET}.{number >> 6}"
        name, last = f"outlast{number}", (number & 63) << 2
        link = ["ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p"]
        if subprocess.run(link, check=False, capture_output=True).returncode == 0:
            return f"{base}.{last + 1}", f"{base}.{last + 2}", name
    raise AssertionError("no address is left")


def _connect(made: Machine, name: str) -> None:
    pid = str(made.process.pid)
    deadline_s = time.monotonic() + LIMIT_S
    while os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net"):
        assert time.monotonic() < deadline_s, "it has no network of its own"
        time.sleep(0.01)
    inside = ["nsenter", "-t", pid, "-n", "ip"]
    for command in (
        ["ip", "link", "set", f"{name}p", "netns", pid],
        ["ip", "address", "add", f"{made.host_address}/30", "dev", name],
        ["ip", "link", "set", name, "up"],
        [*inside, "link", "set", "lo", "up"],
        [*inside, "address", "add", f"{METADATA}/32", "dev", "lo"],
        [*inside, "address", "add", f"{made.address}/30", "dev", f"{name}p"],
        [*inside, "link", "set", f"{name}p", "up"],
        [*inside, "route", "add", "default", "via", made.host_address],
    ):
        subprocess.run(command, check=True, capture_output=True)


def _bound_inside(pid: int, address: str, port: int) -> socket.socket:
    """In a thread of its own: it belongs to the machine's network from then on."""
    with open(f"/proc/{pid}/ns/net") as space:
        if ctypes.CDLL(None, use_errno=True).setns(space.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind((address, port))
    return found


def _read(master: int, console: bytearray) -> None:
    with suppress(OSError):
        while part := os.read(master, 4096):
            console += part
