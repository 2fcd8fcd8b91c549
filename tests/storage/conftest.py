"""Servers to check, one of each kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.servers.azurite import AzureServer, azurite
from tests.servers.gcs import GcsServer, gcs_server
from tests.servers.seaweedfs import S3Server, seaweedfs


@pytest.fixture(scope="module")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="module")
def azure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureServer]:
    with azurite(tmp_path_factory.mktemp("azurite")) as server:
        yield server


@pytest.fixture
def gcs() -> Iterator[GcsServer]:
    with gcs_server() as server:
        yield server
