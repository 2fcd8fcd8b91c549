"""A machine that was given no role: what it says of its bucket is about that, never about the store."""

from __future__ import annotations

import os
from contextlib import closing

import pytest
from tests.agent.node.metadata import Metadata
from tests.servers.gce_metadata import GceMetadata
from tests.servers.http_service import serving

from outlast.bucket.client import open_bucket
from outlast.ports import Denied

NOBODY = "endpoint=http://127.0.0.1:9&allow_http=true"


@pytest.fixture(autouse=True)
def without_keys(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in os.environ:
        if name.startswith(("AWS_", "GOOGLE_")):
            monkeypatch.delenv(name)
    return monkeypatch


def test_an_s3_bucket_without_a_role(without_keys: pytest.MonkeyPatch) -> None:
    """Its metadata service says 404, as a store does of an object that is not there."""
    with closing(Metadata()) as service:
        without_keys.setenv("AWS_METADATA_ENDPOINT", service.url)
        with pytest.raises(Denied, match="no credentials found for the bucket"):
            open_bucket(f"s3://test/x?region=us-east-1&{NOBODY}").get("latest.json")
        assert service.issued, "it was asked"


def test_a_bucket_of_cloud_storage_without_an_account(without_keys: pytest.MonkeyPatch) -> None:
    service = GceMetadata()
    with serving(service) as url:
        without_keys.setenv("GCE_METADATA_HOST", url.removeprefix("http://"))
        with pytest.raises(Denied, match="give the machine a service account"):
            open_bucket(f"gs://test/x?{NOBODY}").get("latest.json")
        assert service.asked
