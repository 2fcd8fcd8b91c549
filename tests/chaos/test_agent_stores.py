"""A real agent on GCS and Azure Blob: it saves there; refused, it trains on, says why, and catches up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.agent.node.agent_kit import JOB
from tests.chaos.agent_trouble import Training
from tests.servers.azurite import KEY, KEYS, azurite
from tests.servers.gcs import TOKEN, WATCHER, GcsServer, gcs_server

from outlast.bucket.client import open_bucket, scoped
from outlast.protocol.objects import job_prefix


@contextmanager
def training(
    folder: Path, url: str, options: Mapping[str, str], keys: Mapping[str, str]
) -> Iterator[Training]:
    """It trains and has saved twice, with keys from its environment."""
    job = Training(folder)
    job.rig.bucket = scoped(open_bucket(url, options=options), job_prefix(JOB))
    try:
        job.node.start(storage=url, keys=dict(keys))
        job.until("it has saved twice", lambda: job.head() >= 20)
        yield job
    finally:
        job.close()


@contextmanager
def on_gcs(folder: Path) -> Iterator[tuple[Training, GcsServer]]:
    with (
        gcs_server() as server,
        training(folder, server.url(prefix="own"), WATCHER, {"GOOGLE_BEARER_TOKEN": TOKEN}) as job,
    ):
        try:
            yield job, server
        finally:
            server.refuses = None


def test_on_azure_blob(tmp_path: Path) -> None:
    with (
        azurite(tmp_path) as server,
        training(tmp_path / "rig", server.url(), KEYS, {"AZURE_STORAGE_ACCOUNT_KEY": KEY}) as job,
    ):
        job.saves()
        job.leaves()


@pytest.mark.parametrize(
    ("refuses", "says"),
    [
        ((403, "QuotaExceeded"), "the quota is used up (QuotaExceeded): raise it, or free some space"),
        ((401, "AuthenticationRequired"), "check the credentials and their rights"),
        ((400, "ExpiredToken"), "the credentials are too old: fetch new ones"),
    ],
)
def test_on_gcs_refused_it_trains_on_and_catches_up(
    tmp_path: Path, refuses: tuple[int, str], says: str
) -> None:
    with on_gcs(tmp_path / "rig") as (job, server):
        server.refuses = refuses
        job.says(says)
        at = job.head()
        job.trains_on()
        server.refuses = None
        job.until("it catches up", lambda: job.head() > at)
        job.saves()
        job.leaves()
