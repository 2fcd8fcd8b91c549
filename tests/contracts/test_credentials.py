"""Every source of keys: what it gives for one job reaches its own prefix, by all verbs, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from google.oauth2.credentials import Credentials as Token
from tests.servers import gcs
from tests.servers.azure_identity import STORAGE
from tests.servers.blob_front import BlobFront
from tests.servers.gcs import GcsServer
from tests.servers.gcs_tokens import Exchange
from tests.servers.http_service import serving
from tests.servers.r2_tokens import ACCOUNT, PARENT, TOKEN, R2Tokens
from tests.servers.seaweedfs import ADMIN, ROLE, S3Server

from outlast.bucket.client import open_bucket
from outlast.ports import Bucket, Denied, Missing
from outlast.protocol.objects import job_prefix
from outlast_orchestrator.core.ports import Credentials
from outlast_orchestrator.storage.clock import CheckClock
from outlast_orchestrator.storage.keys.azure import FolderSignatures, SignatureOptions
from outlast_orchestrator.storage.keys.gcs import BoundaryOptions, BoundaryTokens
from outlast_orchestrator.storage.keys.proof import Proven, problems
from outlast_orchestrator.storage.keys.r2 import R2Options, TemporaryKeys
from outlast_orchestrator.storage.keys.s3 import SessionKeys, StsOptions

BIG = 12 << 20  # sent in parts


@dataclass(frozen=True)
class Store:
    source: Credentials
    url: str
    owner: dict[str, str]
    wild: str = "team/'*"  # a prefix that would mean more than itself

    def of(self, job: str) -> Bucket:
        return open_bucket(self.url, options=self.source.issue(self.url, job).options)

    def everything(self) -> Bucket:
        return open_bucket(self.url, options=self.owner)


def _s3(request: pytest.FixtureRequest) -> Iterator[Store]:
    server: S3Server = request.getfixturevalue("s3_server")
    patch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    for name, value in ADMIN.items():
        patch.setenv(f"AWS_{name.upper()}", value)
    source = SessionKeys(StsOptions(ROLE, endpoint_url=server.endpoint))
    yield Store(source, server.url(prefix="team/outlast"), ADMIN)


def _r2(request: pytest.FixtureRequest) -> Iterator[Store]:
    server: S3Server = request.getfixturevalue("s3_server")
    patch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    patch.setenv("CLOUDFLARE_API_TOKEN", TOKEN)
    with serving(R2Tokens(server)) as url:
        source = TemporaryKeys(R2Options(ACCOUNT, PARENT, endpoint_url=url))
        yield Store(source, server.url(prefix="team/outlast"), ADMIN)


def _gcs(request: pytest.FixtureRequest) -> Iterator[Store]:
    server: GcsServer = request.getfixturevalue("gcs_store")
    with serving(Exchange(server)) as url:
        options = BoundaryOptions(endpoint_url=url)
        source = BoundaryTokens(options, CheckClock(), Token(gcs.TOKEN))
        yield Store(source, server.url(prefix="team/outlast"), gcs.KEYS)


def _azure(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Blob Storage turns a backslash into a slash: that would be a folder more than was signed for."""
    front: BlobFront = request.getfixturevalue("blob_store")
    patch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    with serving(front.identities) as front.identities.url:
        for name, value in front.identities.environment.items():
            patch.setenv(name, value)
        options = SignatureOptions(endpoint_url=front.tls_url, ca_file=front.ca_file)
        source = FolderSignatures(options, CheckClock())
        owner = {"token": front.identities.token(STORAGE)}
        yield Store(source, front.url(prefix="team/outlast"), owner, "team%5Coutlast")


SOURCES: dict[str, Callable[[pytest.FixtureRequest], Iterator[Store]]] = {
    "s3": _s3,
    "gcs": _gcs,
    "r2": _r2,
    "azure": _azure,
}


@pytest.fixture(params=sorted(SOURCES))
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    yield from SOURCES[request.param](request)


class Zeros:
    size = BIG

    def read(self, _offset: int, length: int) -> bytes:
        return bytes(length)


def test_a_job_does_all_that_it_must_below_its_own_prefix(store: Store) -> None:
    own = open_bucket(store.url, job_prefix("j1"), store.source.issue(store.url, "j1").options)
    with pytest.raises(Missing):
        own.get("latest.json")
    version = own.create("latest.json", b"1")
    own.replace("latest.json", b"2", version)
    own.put("status/g1-r0.json", b"{}")
    own.upload("checkpoints/a/model.bin", Zeros(), lambda _done: None)
    assert sum(len(piece) for piece in own.stream("checkpoints/a/model.bin", 0, BIG)) == BIG
    assert {info.key for info in own.list("")} == {
        "latest.json",
        "status/g1-r0.json",
        "checkpoints/a/model.bin",
    }
    for info in list(own.list("")):
        own.delete(info.key)
    assert list(own.list("")) == []


@pytest.mark.parametrize("other", ["jobs/j2/", "jobs/j10/", "jobs/", "elsewhere/"])
def test_nothing_else_is_reached(store: Store, other: str) -> None:
    """`j10` begins with `j1`: a prefix without its slash at the end would reach it too."""
    owner = store.everything()
    owner.put(f"{other}a", b"theirs")
    keys = store.of("j1")
    for verb in (
        lambda: keys.get(f"{other}a"),
        lambda: keys.put(f"{other}a", b"mine"),
        lambda: keys.create(f"{other}b", b"mine"),
        lambda: keys.delete(f"{other}a"),
        lambda: list(keys.list(other)),
        lambda: list(keys.list("")),
    ):
        with pytest.raises(Denied):
            verb()
    assert owner.get(f"{other}a").body == b"theirs"


def test_they_are_found_good_once_and_end(store: Store) -> None:
    proven = Proven(store.source)
    keys = proven.issue(store.url, "j1")
    assert 900 <= keys.life_s <= 3600
    assert problems(proven, store.url, "outlast-doctor") == []
    assert "outlast-doctor" not in str([info.key for info in store.everything().list("")])
    assert not any(secret in repr(keys) for secret in keys.options.values())


def test_a_prefix_that_would_mean_more_than_itself_is_refused(store: Store) -> None:
    url = store.url.replace("team/outlast", store.wild)
    with pytest.raises(Denied, match="use another one"):
        store.source.issue(url, "j1")
