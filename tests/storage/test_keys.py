"""Keys for one job: what is asked for, what is wrong told in one line, and a careless store refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.oauth2.credentials import Credentials as Token
from tests.servers import gcs
from tests.servers.gcs import gcs_server
from tests.servers.gcs_tokens import Exchange
from tests.servers.http_service import serving
from tests.servers.seaweedfs import ROLE, S3Server, seaweedfs

from outlast.bucket import s3
from outlast.bucket.address import read_address
from outlast.ports import Denied, Unsure
from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.settings import Settings
from outlast_orchestrator.storage.clock import CheckClock
from outlast_orchestrator.storage.keys.gcs import BoundaryOptions, BoundaryTokens
from outlast_orchestrator.storage.keys.proof import Proven, problems
from outlast_orchestrator.storage.keys.s3 import SessionKeys, StsOptions, policy
from outlast_orchestrator.storage_keys import open_credentials

POLICY_CHARS_MAX = 2048


def settings(home: Path, keys: Any, storage: str = "s3://mine/outlast") -> Settings:
    return Settings(home=home, storage=storage, storage_keys=keys)


def test_a_policy_leaves_the_prefix_and_the_key_that_encrypts() -> None:
    key = "arn:aws-cn:kms:cn-north-1:123456789012:key/abc"
    address = read_address(f"s3://mine/outlast?kms_key={key}", s3.QUERY_KEYS, s3.EXAMPLE)
    text = policy(address, "j1", "aws-cn")
    objects, lists, kms = json.loads(text)["Statement"]
    assert objects["Resource"] == "arn:aws-cn:s3:::mine/outlast/jobs/j1/*"
    assert "s3:PutObject" in objects["Action"]
    assert (lists["Action"], lists["Resource"]) == ("s3:ListBucket", "arn:aws-cn:s3:::mine")
    assert lists["Condition"] == {"StringLike": {"s3:prefix": "outlast/jobs/j1/*"}}
    assert kms["Resource"] == key
    assert all(one["Effect"] == "Allow" for one in (objects, lists, kms))
    assert len(text) < POLICY_CHARS_MAX / 2


@pytest.mark.parametrize(
    ("keys", "storage", "words"),
    [
        ({"rloe": ROLE}, "s3://mine", "storage_keys.rloe: no such key; did you mean role?"),
        ("job", "s3://mine", "storage_keys: role: missing"),
        ({"account": "mine", "access_key_id": "a"}, "s3://mine", "write its 32 hexadecimal digits"),
        ({"account": "0" * 32}, "s3://mine", "storage_keys: access_key_id: missing"),
        (
            {"account": "0" * 32, "access_key_id": "a", "endpoint_url": "http://elsewhere"},
            "s3://mine",
            "the token goes there, so write https://",
        ),
        ({"role": "outlast-job"}, "s3://mine", "role: 'outlast-job' is no role; write arn:aws:iam::"),
        ({"role": ROLE, "life_s": 60}, "s3://mine", "life_s: 60: write 900 to 43200 seconds"),
        (
            {"role": ROLE},
            "gs://mine",
            "storage_keys.role: no such key; there are endpoint_url, service_account",
        ),
        (
            {"role": ROLE},
            "az://mine?account=x",
            "storage_keys.role: no such key; there are ca_file, endpoint_url",
        ),
        ({"life_s": 60}, "az://mine?account=x", "life_s: 60: write 900 to 43200 seconds"),
        ({"endpoint_url": "http://x"}, "az://mine?account=x", "write an address that begins with https://"),
        ("job", "", "no keys for one job alone can be made for file://"),
    ],
)
def test_what_is_wrong_with_the_setting_is_one_line(
    tmp_path: Path, keys: Any, storage: str, words: str
) -> None:
    with pytest.raises(UserError) as found:
        open_credentials(settings(tmp_path, keys, storage))
    assert str(found.value).startswith(f"{tmp_path}/controller.yaml: storage_keys")
    assert words in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("keys", [None, "machine"])
def test_who_wants_none_gets_none(tmp_path: Path, keys: str | None) -> None:
    assert open_credentials(settings(tmp_path, keys)) is None


def test_where_keys_come_from_is_told(tmp_path: Path) -> None:
    found = open_credentials(settings(tmp_path, {"role": ROLE}))
    assert found is not None
    assert found.about == f"keys of {ROLE}, for 3600 s"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    with seaweedfs(tmp_path) as found:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "admin")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "admin-secret")
        yield found


def test_a_role_that_is_not_there_is_told_with_its_name(server: S3Server) -> None:
    other = ROLE.replace("outlast-job", "nobody")
    source = SessionKeys(StsOptions(other, endpoint_url=server.endpoint))
    (told,) = problems(source, server.url(), "outlast-doctor")
    assert told.startswith(f"{other} can't be assumed: ")


def test_a_server_without_credentials_says_so(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", "/nowhere")
    source = SessionKeys(StsOptions(ROLE, endpoint_url=server.endpoint))
    with pytest.raises(Denied, match="this server has no credentials to assume"):
        source.issue(server.url(), "j1")


def test_a_service_that_is_not_there_is_asked_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    source = SessionKeys(StsOptions(ROLE, endpoint_url="http://127.0.0.1:1"))
    with pytest.raises(Unsure, match="was not reached"):
        source.issue("s3://mine", "j1")


def test_a_store_that_does_not_keep_to_the_limits_gets_no_key_out(tmp_path: Path) -> None:
    """It takes the boundary, and gives a token that reaches everything: found before anybody has it."""
    with gcs_server() as store, serving(Exchange(store, careless=True)) as url:
        source = BoundaryTokens(BoundaryOptions(endpoint_url=url), CheckClock(), Token(gcs.TOKEN))
        proven = Proven(source)
        for _ in range(2):
            with pytest.raises(Denied, match="reach every job's checkpoints: set storage_keys: machine"):
                proven.issue(store.url(), "j1")


def test_a_token_that_can_not_be_cut_down_is_told() -> None:
    with gcs_server() as store, serving(Exchange(store)) as url:
        source = BoundaryTokens(BoundaryOptions(endpoint_url=url), CheckClock(), Token("another"))
        with pytest.raises(Denied, match="this token is not known"):
            source.issue(store.url(), "j1")
