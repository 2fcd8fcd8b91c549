"""A bucket that is away, silent, slow or answers 503: a real agent trains on, says so, and catches up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.agent.node.agent_kit import JOB
from tests.chaos import agent_checks as check
from tests.chaos.agent_trouble import Training
from tests.chaos.bucket_proxy import BucketProxy, bucket_proxy
from tests.servers.seaweedfs import ADMIN, S3Server, seaweedfs

from outlast.bucket.client import open_bucket, scoped
from outlast.protocol.objects import job_prefix

KEYS = {"AWS_ACCESS_KEY_ID": ADMIN["access_key_id"], "AWS_SECRET_ACCESS_KEY": ADMIN["secret_access_key"]}


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@contextmanager
def training(folder: Path, s3: S3Server, **how: object) -> Iterator[tuple[Training, BucketProxy]]:
    """It trains, and saves through a proxy; the checks look past it."""
    with bucket_proxy(s3.endpoint) as proxy:
        job = Training(folder, **how)
        prefix = folder.parent.name
        job.rig.bucket = scoped(open_bucket(s3.url(prefix=prefix), options=ADMIN), job_prefix(JOB))
        try:
            job.node.start(storage=S3Server(proxy.url).url(prefix=prefix), keys=KEYS)
            job.until("it has saved twice", lambda: job.head() >= 20)
            yield job, proxy
        finally:
            proxy.works_again()
            job.close()


def test_a_bucket_that_is_away_for_a_while(tmp_path: Path, s3: S3Server) -> None:
    with training(tmp_path / "rig", s3) as (job, proxy):
        proxy.away = True
        job.says("s3://")
        at = job.head()
        job.trains_on()
        assert (job.report().save.durable_age_s or 0) > 0.5
        assert job.head() == at
        proxy.works_again()
        job.saves()
        assert len(job.facts("storage.trouble")) == len(job.facts("storage.mended")) == 1
        job.leaves()


@pytest.mark.slow
def test_a_bucket_that_takes_requests_and_never_answers(tmp_path: Path, s3: S3Server) -> None:
    with training(tmp_path / "rig", s3) as (job, proxy):
        proxy.silent = True
        job.says()
        job.trains_on()
        proxy.works_again()
        job.saves()
        job.leaves()


def test_a_bucket_that_answers_503_at_random(tmp_path: Path, s3: S3Server) -> None:
    """One in five is refused; one in ten is carried out and answered with 503 all the same."""
    with training(tmp_path / "rig", s3) as (job, proxy):
        proxy.refuse, proxy.lose = 0.2, 0.1
        for _ in range(3):
            at = job.head()
            job.until("a checkpoint comes through", lambda at=at: job.head() > at)  # type: ignore[misc]
            check.closure(job.rig)
        job.trains_on()
        assert proxy.refused > 5
        assert proxy.lost > 0
        proxy.works_again()
        job.saves()
        job.leaves()


def test_a_slow_bucket_holds_up_no_training_and_every_head_is_whole(tmp_path: Path, s3: S3Server) -> None:
    """A megabyte a second, and saves that come faster than they go up: those in between are left out."""
    with training(tmp_path / "rig", s3, SIZE=60_000) as (job, proxy):
        proxy.bytes_per_s = 1e6
        job.trains_on(200)
        assert job.report().save.trouble == ""
        at = job.head()
        job.until("a checkpoint comes through", lambda: job.head() > at)
        check.closure(job.rig)
        assert job.report().save.skipped > 0
        job.leaves()
