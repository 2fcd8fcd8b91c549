"""Stores that can't be used, places that are not there, keys that do not fit: each told in one line."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.bucket import MemoryBucket
from tests.servers import azurite, gcs
from tests.servers.azurite import AzureServer
from tests.servers.gcs import GcsServer
from tests.servers.seaweedfs import ADMIN, SCOPED, SCOPED_PREFIX, S3Server

from outlast.bucket.client import open_bucket
from outlast.bucket.probe import BucketRefused, probe
from outlast.ports import Denied, ObjectInfo, Unsure


class Careless(MemoryBucket):
    """A store that ignores conditions, as some S3-compatible ones do."""

    def __init__(self, ignores: str) -> None:
        super().__init__()
        self._ignores = ignores

    def _create(self, key: str, body: bytes) -> str:
        return self._store(key, body) if self._ignores == "create" else super()._create(key, body)

    def replace(self, key: str, body: bytes, version: str) -> str:
        return self._store(key, body) if self._ignores == "replace" else super().replace(key, body, version)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return iter(()) if self._ignores == "list" else super().list(prefix)


@pytest.mark.parametrize(
    ("ignores", "says"), [("create", "If-None-Match"), ("replace", "If-Match"), ("list", "stale")]
)
def test_the_probe_refuses_a_store_without_working_conditions(ignores: str, says: str) -> None:
    with pytest.raises(BucketRefused, match=says):
        probe(Careless(ignores), "nonce")


def test_an_absent_folder_is_denied_and_never_empty(tmp_path: Path) -> None:
    bucket = open_bucket(str(tmp_path / "not-mounted"))
    for ask in (
        lambda: bucket.get("latest.json"),
        lambda: list(bucket.list("")),
        lambda: bucket.create("latest.json", b""),
        lambda: bucket.delete("latest.json"),
    ):
        with pytest.raises(Denied, match="does not exist: create or mount it"):
            ask()


def test_an_absent_s3_bucket_is_denied_and_never_empty(s3_server: S3Server) -> None:
    bucket = open_bucket(s3_server.url("absent"), options=ADMIN)
    for ask in (
        lambda: bucket.get("latest.json"),
        lambda: list(bucket.list("")),
        lambda: list(bucket.list("a/")),
    ):
        with pytest.raises(Denied, match="does not exist"):
            ask()


def test_an_absent_gcs_bucket_is_denied_and_never_empty(gcs_store: GcsServer) -> None:
    bucket = open_bucket(gcs_store.url("absent"), options=gcs.KEYS)
    with pytest.raises(Denied, match="gs://absent does not exist"):
        bucket.get("latest.json")
    with pytest.raises(Denied, match="gs://absent does not exist"):
        list(bucket.list("a/"))


def test_an_absent_container_is_denied_and_never_empty(azure_server: AzureServer) -> None:
    bucket = open_bucket(azure_server.url("absent"), options=azurite.KEYS)
    for ask in (
        lambda: bucket.get("latest.json"),
        lambda: list(bucket.list("a/")),
        lambda: bucket.create("latest.json", b""),
    ):
        with pytest.raises(Denied, match="az://absent does not exist"):
            ask()


def test_wrong_keys_of_other_stores_are_denied(gcs_store: GcsServer, azure_server: AzureServer) -> None:
    wrong = base64.b64encode(b"wrong").decode()
    for bucket in (
        open_bucket(gcs_store.url(), options={"bearer_token": wrong}),
        open_bucket(azure_server.url(), options={"account_key": wrong}),
    ):
        with pytest.raises(Denied, match="check the credentials and their rights"):
            bucket.create("latest.json", b"")
        with pytest.raises(Denied, match="check the credentials and their rights"):
            bucket.get("latest.json")


def test_wrong_keys_are_denied(s3_server: S3Server) -> None:
    wrong = ADMIN | {"secret_access_key": "wrong"}
    with pytest.raises(Denied, match="SignatureDoesNotMatch"):
        open_bucket(s3_server.url(), options=wrong).get("latest.json")
    with pytest.raises(Denied, match="credentials"):
        open_bucket(s3_server.url(), options=wrong).create("latest.json", b"")


def test_a_job_with_keys_of_its_own_prefix_works_there_and_nowhere_else(s3_server: S3Server) -> None:
    own = open_bucket(s3_server.url(prefix=SCOPED_PREFIX), options=SCOPED)
    probe(own, "scoped")
    other = open_bucket(s3_server.url(prefix="jobs/other"), options=SCOPED)
    with pytest.raises(Denied):
        other.create("latest.json", b"")
    with pytest.raises(Denied):
        other.get("latest.json")


def test_a_store_that_does_not_answer_is_a_doubt() -> None:
    bucket = open_bucket("s3://test?endpoint=http://127.0.0.1:1&allow_http=true", options=ADMIN)
    with pytest.raises(Unsure, match=r"test/latest\.json"):
        bucket.create("latest.json", b"")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("gs://", "gs://bucket/prefix"),
        ("gs://bucket/x?region=eu", "unknown region; known are"),
        ("gs://bucket/x?kms_key=projects/p/k", "--default-encryption-key=projects/p/k"),
        ("gcs://bucket/x", "write it as gs://"),
        ("az://container/x", r"add \?account=NAME"),
        ("az://container/x?account=a&kms_key=k", "az storage account update"),
        ("azure://container/x", "write it as az://"),
        ("https://a.blob.core.windows.net", "ACCOUNT.blob.core.windows.net/container/prefix"),
        ("https://a.blob.core.windows.net/c/x?sv=1&sig=secret", "signature does not belong"),
        ("https://minio.example:9000/b", r"s3://bucket\?endpoint=https://minio.example:9000/b"),
        ("ftp://host/x", "is not a bucket: write s3://bucket/prefix, gs://"),
        ("relative/path", "is not a bucket"),
        ("file://host/path", "file:///absolute/path"),
        ("s3://", "s3://bucket/prefix"),
        ("s3://key:secret@bucket/x", "keys do not belong"),
        ("s3://bucket/x?enpoint=http://h", "unknown enpoint"),
        ("s3://bucket/x?endpoint=http://h", "allow_http"),
        ("s3://bucket/x?endpoint=host:9000", "https://host:port"),
        ("s3://bucket/x?requester_pays=maybe", "requester_pays=true"),
        ("s3://bucket/../x", "not allowed"),
        ("s3://bucket?access_key_id=secret", "Keys do not belong"),
        ("s3://bucket?endpoint=https://key:secret@host", "keys do not belong"),
        ("ftp://key:secret@host/x", "is not a bucket"),
        ("https://key:secret@a.blob.core.windows.net/c", "ACCOUNT.blob.core.windows.net/container/prefix"),
        ("s3://[::1", "is no URL"),
        ("s3://bucket?endpoint=http://[", "is no URL"),
        ("s3://bucket/a#b", "%23"),
        ("file:///a?b", "file:///absolute/path"),
    ],
)
def test_a_bad_url_is_told_in_one_line(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        open_bucket(url)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
