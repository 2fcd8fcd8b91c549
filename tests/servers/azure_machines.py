"""What becomes of Azure's machines: the Resource Manager's state of each, its metadata, and its bucket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.arm import IDENTITY, Arm, arm
from tests.servers.azure_metadata import AzureMetadata
from tests.servers.blob_front import BlobFront, blob_front
from tests.servers.http_service import serving
from tests.servers.machine import METADATA, Machine
from tests.servers.yard import HERE, Yard, following, reach

NOTICE_S = 30.0


class AzureCloud:
    """The machines of one resource group, as those of a yard follow them."""

    def __init__(self, server: Arm, bucket: BlobFront) -> None:
        self.server = server
        self.bucket = bucket
        self.metadata: dict[str, AzureMetadata] = {}
        self.off: set[str] = set()  # switched off by themselves: still there, and paid for

    def running(self) -> dict[str, str]:
        return {name: text for name, text in self.server.custom_data().items() if name not in self.off}

    @contextmanager
    def booted(self, instance: str, made: Machine) -> Iterator[None]:
        wanted = self.server.booted(instance, made.address) or {}
        given = (wanted.get("identity") or {}).get("userAssignedIdentities", {})
        service = AzureMetadata(instance, self.bucket.identities.given if IDENTITY in given else None)
        with serving(service, listening=made.listen(METADATA, 80)):
            self.metadata[instance] = service
            yield

    def ended_itself(self, instance: str) -> None:
        self.off.add(instance)

    def take(self, instance: str) -> None:
        self.server.evict(instance)

    def notice(self, instance: str) -> None:
        """In the machine's metadata only: the log has nothing before the eviction itself."""
        self.metadata[instance].announce("Preempt", NOTICE_S)


@contextmanager
def azure_yard(folder: Path) -> Iterator[Yard[AzureCloud]]:
    """With a bucket that whoever has an identity reaches, this server by its own."""
    reach(folder)
    (folder / "cloud").mkdir()
    with (
        arm(folder / "cloud") as server,
        blob_front(folder / "cloud", HERE) as bucket,
        serving(bucket.identities) as bucket.identities.url,
    ):
        server.boots_alone = False
        server.signed = lambda said: bucket.identities.knows(said, server.url)
        with following(AzureCloud(server, bucket), folder) as made:
            yield made
