"""Behind an EC2 server: a machine of its own for each instance, which boots with its user data."""

from __future__ import annotations

import base64
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.agent.node.metadata import Metadata
from tests.servers.ec2 import ACCOUNT, Ec2, ec2
from tests.servers.machine import METADATA, Machine, machine
from tests.servers.seaweedfs import S3Server, seaweedfs

HERE = "10.213.255.254"  # this side's address for all machines, on the loopback
ROLES = "/latest/meta-data/iam/security-credentials/"
ROLE = "outlast-node"
EVERY_S = 0.1


class Yard:
    """Looks what became of the instances of one region, and lets that happen to their machines."""

    def __init__(self, server: Ec2, region: str, folder: Path, s3: S3Server) -> None:
        self.server = server
        self.region = region
        self.s3 = s3
        self.machines: dict[str, Machine] = {}
        self.metadata: dict[str, Metadata] = {}
        self._folder = folder
        self._ends: dict[str, ExitStack] = {}
        self._others: set[str] = set()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(1)
        self._work: Future[None] | None = None

    def take(self, instance: str) -> None:
        """The market takes it without a word: its machine is gone, and the cloud says why."""
        with self._lock:
            self.machines[instance].power_off()
            self.server.take(instance, self.region)

    def notice(self, instance: str, seconds: float) -> None:
        """The market says that it will take it: in the machine's metadata, and in the request's state."""
        with self._lock:
            self.metadata[instance].notice_in(seconds)
            self.server.notice(instance, self.region)

    def running(self) -> list[str]:
        with self._lock:
            return [name for name, made in self.machines.items() if made.alive]

    def open(self) -> None:
        self._others = {one.id for one in self._instances()}  # of earlier tests
        self._work = self._threads.submit(self._run)

    def close(self) -> None:
        """Raises what went wrong beside the test."""
        self._over.set()
        self._threads.shutdown()
        for stack in self._ends.values():
            stack.close()
        if self._work is not None:
            self._work.result()

    def _run(self) -> None:
        while not self._over.wait(EVERY_S):
            with self._lock:
                for one in self._instances():
                    self._follow(one)

    def _instances(self) -> list[Any]:
        from moto.ec2.models import ec2_backends

        everyone = ec2_backends[ACCOUNT][self.region].all_instances()
        return [one for one in everyone if one.id not in self._others]

    def _follow(self, instance: Any) -> None:
        made = self.machines.get(instance.id)
        if made is None and instance.state == "running":
            self._boot(instance)
        elif made is not None and instance.state != "running":
            made.power_off()
        elif made is not None and not made.alive:
            _ended_itself(instance, self.region)

    def _boot(self, instance: Any) -> None:
        text = base64.b64decode(instance.user_data).decode()
        with ExitStack() as stack:
            made = stack.enter_context(machine(self._folder / instance.id, text))
            service = Metadata(made.listen(METADATA, 80))
            stack.callback(service.close)
            service.answers |= _role(ROLE)
            self.machines[instance.id], self.metadata[instance.id] = made, service
            self._ends[instance.id] = stack.pop_all()
        instance.nics[0].public_ip = made.address  # known only now, as it is with real ones


def _role(name: str) -> dict[str, Any]:
    """The keys that a machine's own role gives it: they reach nothing, the job's come from the controller."""
    keys = {"AccessKeyId": "of-the-machine", "SecretAccessKey": "of-no-use"}
    rest = {"Code": "Success", "Type": "AWS-HMAC", "Token": "", "LastUpdated": "2026-01-01T00:00:00Z"}
    found = {**keys, **rest, "Expiration": "2099-01-01T00:00:00Z"}
    return {ROLES: name.encode(), f"{ROLES}{name}": found}


def _ended_itself(instance: Any, region: str) -> None:
    """Its operating system switched it off."""
    from moto.ec2.models import ec2_backends
    from moto.ec2.models.instances import StateReason

    ec2_backends[ACCOUNT][region].terminate_instances([instance.id])
    code = "Client.InstanceInitiatedShutdown"
    instance.state_reason = StateReason(f"{code}: Instance initiated shutdown", code)


@contextmanager
def yard(folder: Path, region: str = "us-east-1") -> Iterator[Yard]:
    """With a bucket that the machines' role reaches."""
    subprocess.run(["ip", "address", "replace", f"{HERE}/32", "dev", "lo"], check=True, capture_output=True)
    folder.mkdir()
    (folder / "s3").mkdir()
    with seaweedfs(folder / "s3", HERE) as s3, ec2() as server:
        made = Yard(server, region, folder, s3)
        made.open()
        try:
            yield made
        finally:
            made.close()
