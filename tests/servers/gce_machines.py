"""What becomes of Compute Engine's instances: the server's state of each, its metadata, and its bucket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers.compute import NODES, Compute, compute
from tests.servers.gce_metadata import BASE, PREEMPTED, TOKEN, GceMetadata
from tests.servers.gcs import TOKEN as BUCKET_TOKEN
from tests.servers.gcs import GcsServer, gcs_server
from tests.servers.gcs_tokens import Exchange
from tests.servers.google_account import Account
from tests.servers.http_service import serving
from tests.servers.machine import METADATA, Machine
from tests.servers.yard import HERE, Yard, following, reach

UP = ("PROVISIONING", "STAGING", "RUNNING")


class GceCloud:
    """The instances of one project, as the machines of a yard follow them."""

    def __init__(self, server: Compute, bucket: GcsServer, account: Account, exchange: str) -> None:
        """`exchange`: where tokens are given, and cut down."""
        self.exchange = exchange
        self.server = server
        self.bucket = bucket
        self.account = account
        self.metadata: dict[str, GceMetadata] = {}

    def running(self) -> dict[str, str]:
        found = list(self.server.instances.values())
        return {one["id"]: _items(one)["startup-script"] for one in found if one["status"] in UP}

    @contextmanager
    def booted(self, instance: str, made: Machine) -> Iterator[None]:
        one = self.server.booted(instance, made.address)
        service = GceMetadata(_values(one) if one is not None else {})
        with serving(service, listening=made.listen(METADATA, 80)):
            self.metadata[instance] = service
            yield

    def ended_itself(self, instance: str) -> None:
        self.server.shut_down(instance)

    def take(self, instance: str) -> None:
        self.server.preempt(instance)

    def notice(self, instance: str) -> None:
        """In the machine's metadata only: the operation begins with the end of the notice."""
        self.metadata[instance].set(PREEMPTED, "TRUE")


def _items(one: dict[str, Any]) -> dict[str, str]:
    return {item["key"]: item["value"] for item in one["metadata"]["items"]}


def _values(one: dict[str, Any]) -> dict[str, str]:
    """A token is there for a machine with a service account only, as it is with real ones."""
    found = {f"{BASE}attributes/{key}": value for key, value in _items(one).items()}
    if [account["email"] for account in one.get("serviceAccounts", [])] == [NODES]:
        token = {"access_token": BUCKET_TOKEN, "expires_in": 3599, "token_type": "Bearer"}
        found[TOKEN] = json.dumps(token)
    return found


@contextmanager
def gce_yard(folder: Path) -> Iterator[Yard[GceCloud]]:
    """With a bucket that a person's account reaches; machines have none of their own."""
    reach(folder)
    with compute() as server, gcs_server(HERE) as bucket, serving(Exchange(bucket)) as exchange:
        account = Account(folder / "account.json", exchange)
        server.boots_alone = False
        server.signed = bucket.signed = account.signed
        with following(GceCloud(server, bucket, account, exchange), folder) as made:
            yield made
