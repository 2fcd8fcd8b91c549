"""R2's temporary keys: what is asked for, and what is wrong told in one line, never with the token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers.http_service import serving
from tests.servers.r2_tokens import ACCOUNT, PARENT, TOKEN, R2Tokens
from tests.servers.seaweedfs import S3Server, seaweedfs

from outlast.ports import BucketError, Denied, Unsure
from outlast_orchestrator.settings import Settings
from outlast_orchestrator.storage.keys.proof import Proven
from outlast_orchestrator.storage.keys.r2 import R2Options, TemporaryKeys
from outlast_orchestrator.storage_keys import open_credentials


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with seaweedfs(tmp_path_factory.mktemp("r2")) as found:
        yield found


@pytest.fixture
def api(store: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[R2Tokens, str]]:
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", TOKEN)
    tokens = R2Tokens(store)
    with serving(tokens) as url:
        yield tokens, url


def source(url: str, token_file: str = "") -> TemporaryKeys:
    return TemporaryKeys(R2Options(ACCOUNT, PARENT, token_file, url))


def told(url: str, kind: type[BucketError], token_file: str = "") -> str:
    with pytest.raises(kind) as found:
        source(url, token_file).issue("s3://mine", "j1")
    assert TOKEN not in str(found.value)
    assert "\n" not in str(found.value)
    return str(found.value)


def test_what_is_asked_for(api: tuple[R2Tokens, str], store: S3Server) -> None:
    tokens, url = api
    keys = source(url).issue(store.url(prefix="outlast"), "j1")
    (wanted,) = tokens.asked
    assert wanted["prefixes"] == ["outlast/jobs/j1/"], "with its slash: j10 begins with j1"
    assert (wanted["permission"], wanted["ttlSeconds"]) == ("object-read-write", 3600)
    assert set(keys.options) == {"access_key_id", "secret_access_key", "session_token"}


def test_the_token_may_lie_in_a_file(
    api: tuple[R2Tokens, str], store: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CLOUDFLARE_API_TOKEN")
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    source(api[1], token_file=str(file)).issue(store.url(), "j1")
    file.write_text("\n")
    assert f"{file} can't be read, or is empty" in told(api[1], Denied, token_file=str(file))
    assert "can't be read" in told(api[1], Denied, token_file=str(tmp_path / "none"))
    assert "set CLOUDFLARE_API_TOKEN" in told(api[1], Denied)


def test_a_refusal_is_told_and_a_busy_service_asked_again(
    api: tuple[R2Tokens, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, url = api
    for status, kind in ((400, Denied), (429, Unsure), (500, Unsure)):
        tokens.refusal = (status, "that is how it is")
        words = told(url, kind)
        assert "that is how it is" in words
        assert str(status) in words
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", "another")
    assert "Authentication error" in told(url, Denied)
    assert "was not reached" in told("http://127.0.0.1:1", Unsure)


def test_keys_that_reach_the_whole_bucket_are_given_to_nobody(
    api: tuple[R2Tokens, str], store: S3Server
) -> None:
    tokens, url = api
    tokens.careless = True
    with pytest.raises(Denied, match="reach every job's checkpoints"):
        Proven(source(url)).issue(store.url(), "j1")


def test_the_settings_open_it(tmp_path: Path) -> None:
    keys = {"account": ACCOUNT, "access_key_id": PARENT}
    found = open_credentials(Settings(home=tmp_path, storage="s3://mine/outlast", storage_keys=keys))
    assert found is not None
    assert found.about == f"temporary keys of the R2 access key {PARENT}, for 3600 s"
