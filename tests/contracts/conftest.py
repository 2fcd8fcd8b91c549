"""Servers that the contract suites share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.contracts.buckets import KINDS, Open
from tests.servers.azurite import AzureServer, azurite
from tests.servers.blob_front import BlobFront, blob_front
from tests.servers.gcs import GcsServer, gcs_server
from tests.servers.postgres import Postgres, postgres
from tests.servers.seaweedfs import S3Server, seaweedfs

from outlast.ports import Bucket


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="session")
def azure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureServer]:
    with azurite(tmp_path_factory.mktemp("azurite")) as server:
        yield server


@pytest.fixture(scope="session")
def blob_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlobFront]:
    with blob_front(tmp_path_factory.mktemp("blobs")) as front:
        yield front


@pytest.fixture(scope="session")
def gcs_store() -> Iterator[GcsServer]:
    with gcs_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.fixture(params=sorted(KINDS))
def opened(request: pytest.FixtureRequest) -> Open:
    """Opens the same empty bucket, each time as another client would."""
    return KINDS[request.param](request)


@pytest.fixture
def bucket(opened: Open) -> Bucket:
    return opened()
