"""What becomes of EC2's instances: moto's state of each, its metadata service, and the market's own words."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.agent.node.metadata import Metadata
from tests.servers.ec2 import ACCOUNT, ROLE, Ec2, ec2
from tests.servers.machine import METADATA, Machine
from tests.servers.seaweedfs import S3Server, seaweedfs
from tests.servers.yard import HERE, Yard, following, reach

ROLES = "/latest/meta-data/iam/security-credentials/"
NOTICE_S = 40.0


class Ec2Cloud:
    """The instances of one region, as the machines of a yard follow them."""

    def __init__(self, server: Ec2, region: str, s3: S3Server) -> None:
        self.server = server
        self.region = region
        self.s3 = s3
        self.metadata: dict[str, Metadata] = {}
        self._others = {one.id for one in self._everyone()}  # of earlier tests

    def running(self) -> dict[str, str]:
        return {
            one.id: base64.b64decode(one.user_data).decode()
            for one in self._everyone()
            if one.id not in self._others and one.state == "running"
        }

    @contextmanager
    def booted(self, instance: str, made: Machine) -> Iterator[None]:
        service = Metadata(made.listen(METADATA, 80))
        try:
            found = next(one for one in self._everyone() if one.id == instance)
            service.answers |= _role(ROLE)  # moto forgets whether it was asked for
            self.metadata[instance] = service
            found.nics[0].public_ip = made.address  # known only now, as it is with real ones
            yield
        finally:
            service.close()

    def ended_itself(self, instance: str) -> None:
        self.server.shut_down(instance, self.region)

    def take(self, instance: str) -> None:
        self.server.take(instance, self.region)

    def notice(self, instance: str) -> None:
        """In the machine's metadata, and in the request's state."""
        self.metadata[instance].notice_in(NOTICE_S)
        self.server.notice(instance, self.region)

    def _everyone(self) -> list[Any]:
        from moto.ec2.models import ec2_backends

        found: list[Any] = ec2_backends[ACCOUNT][self.region].all_instances()
        return found


def _role(name: str) -> dict[str, Any]:
    """The keys that a machine's own role gives it: they reach nothing, the job's come from the controller."""
    keys = {"AccessKeyId": "of-the-machine", "SecretAccessKey": "of-no-use"}
    rest = {"Code": "Success", "Type": "AWS-HMAC", "Token": "", "LastUpdated": "2026-01-01T00:00:00Z"}
    found = {**keys, **rest, "Expiration": "2099-01-01T00:00:00Z"}
    return {ROLES: name.encode(), f"{ROLES}{name}": found}


@contextmanager
def ec2_yard(folder: Path, region: str = "us-east-1") -> Iterator[Yard[Ec2Cloud]]:
    """With a bucket that the machines' role reaches."""
    reach(folder)
    (folder / "s3").mkdir()
    with (
        seaweedfs(folder / "s3", HERE) as s3,
        ec2() as server,
        following(Ec2Cloud(server, region, s3), folder) as made,
    ):
        yield made
