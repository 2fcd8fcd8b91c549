"""Signatures for one job's folder of Blob Storage, by the real SDKs, on a server of ours.

Azure itself has not been compared: that server checks them as the reference says.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from tests.servers.azure_identity import STORAGE, Identities
from tests.servers.azurite import ACCOUNT
from tests.servers.blob_front import BlobFront, blob_front
from tests.servers.http_service import serving

from outlast.bucket.client import open_bucket
from outlast.node.keys import KeysAway
from outlast.ports import Denied, Keyless, Missing, Unsure
from outlast_orchestrator.settings import Settings
from outlast_orchestrator.storage.clock import CheckClock
from outlast_orchestrator.storage.keys.azure import LIFE_S, FolderSignatures, SignatureOptions
from outlast_orchestrator.storage.keys.proof import Proven, problems
from outlast_orchestrator.storage_keys import open_credentials


class Clock(CheckClock):
    ahead_s = 0.0

    def wall_s(self) -> float:
        return super().wall_s() + self.ahead_s


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BlobFront]:
    with blob_front(tmp_path) as made, serving(made.identities) as made.identities.url:
        for name, value in made.identities.environment.items():
            monkeypatch.setenv(name, value)
        yield made


def source(front: BlobFront, clock: CheckClock | None = None) -> FolderSignatures:
    options = SignatureOptions(endpoint_url=front.tls_url, ca_file=front.ca_file)
    return FolderSignatures(options, clock or CheckClock())


def signed(front: BlobFront, keys: FolderSignatures, url: str = "") -> dict[str, str]:
    found = keys.issue(url or front.url(prefix="team"), "j1").options["sas_key"]
    return {name: values[0] for name, values in parse_qs(found).items()}


def test_a_signature_is_for_the_folder_for_an_hour_and_over_tls_unless_the_bucket_says_otherwise(
    front: BlobFront,
) -> None:
    keys = source(front)
    found = signed(front, keys, "https://mine.blob.core.windows.net/test/team")
    assert (found["sr"], found["sdd"], found["sp"], found["spr"]) == ("d", "3", "rcwdl", "https")
    assert signed(front, keys)["spr"] == "https,http"
    assert keys.issue(front.url(), "j1").life_s == LIFE_S


def test_one_key_signs_for_many_jobs_and_never_less_than_a_whole_life(front: BlobFront) -> None:
    clock = Clock()
    keys = source(front, clock)
    first = signed(front, keys)
    clock.ahead_s = LIFE_S - 60.0
    second = signed(front, keys)
    clock.ahead_s = LIFE_S + 60.0
    third = signed(front, keys)
    assert first["ske"] == second["ske"] < third["ske"]
    assert all(found["se"] <= found["ske"] for found in (first, second, third))


def test_the_first_keys_of_a_store_that_ignores_the_folder_are_given_to_nobody(front: BlobFront) -> None:
    front.careless = True
    with pytest.raises(Denied, match="reach every job's checkpoints"):
        Proven(source(front)).issue(front.url(), "j1")


def test_over_plain_http_only_where_the_address_says_so(front: BlobFront) -> None:
    secure = front.url().replace("&allow_http=true", "").replace("http://", "https://")
    keys = source(front).issue(secure, "j1")
    with pytest.raises(Denied, match="AuthorizationProtocolMismatch"):
        open_bucket(front.url(), "jobs/j1", keys.options).get("latest.json")


def test_an_identity_that_may_not_sign_is_told_the_role(front: BlobFront) -> None:
    front.delegates = False
    (told,) = problems(source(front), front.url(), "outlast-doctor")
    assert told == (
        f"{front.tls_url} gives this server no key to sign with: AuthorizationPermissionMismatch; "
        "give it the role Storage Blob Delegator on the storage account"
    )


def test_a_server_without_an_identity_says_so_in_one_line(
    front: BlobFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "another")
    with pytest.raises(Denied, match="this server has no credentials") as found:
        source(front).issue(front.url(), "j1")
    assert "\n" not in str(found.value)


def test_a_service_that_is_not_there_is_asked_again_later(front: BlobFront) -> None:
    options = SignatureOptions(endpoint_url="https://127.0.0.1:1", ca_file=front.ca_file)
    with pytest.raises(Unsure, match="it was not reached"):
        FolderSignatures(options, CheckClock()).issue(front.url(), "j1")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("az://test/team", "name the storage account"),
        (
            f"az://test?account={ACCOUNT}&endpoint=http://127.0.0.1:1&allow_http=true",
            "set storage_keys.endpoint",
        ),
    ],
)
def test_what_an_address_lacks_is_told(url: str, words: str) -> None:
    with pytest.raises(Denied, match=words):
        FolderSignatures(SignatureOptions(), CheckClock()).issue(url, "j1")


def test_the_settings_open_it_for_a_web_address_too(tmp_path: Path) -> None:
    storage = "https://mine.blob.core.windows.net/test/team"
    found = open_credentials(Settings(home=tmp_path, storage=storage, storage_keys="job"))
    assert found is not None
    assert found.about == "signatures for the job's folder by this server's identity, for 3600 s"


# what an agent does with them


def test_keys_that_are_asked_for_again_and_again_do_all_and_delete_one_by_one(front: BlobFront) -> None:
    given = source(front).issue(front.url(), "j1").options
    bucket = open_bucket(front.url(), "jobs/j1", keys=lambda: given)
    bucket.put("a b/ü+%.bin", bytes(5 << 20))
    assert sum(len(piece) for piece in bucket.stream("a b/ü+%.bin", 0, 5 << 20)) == 5 << 20
    bucket.delete("a b/ü+%.bin")
    bucket.delete("a b/ü+%.bin")
    with pytest.raises(Missing):
        bucket.get("a b/ü+%.bin")
    assert not any("comp=batch" in asked for asked in front.asked)
    assert not front.told


def test_without_keys_a_delete_says_so_like_every_other_request(front: BlobFront) -> None:
    def none() -> dict[str, str]:
        raise KeysAway("nobody answers")

    bucket = open_bucket(front.url(), "jobs/j1", keys=none)
    for verb in (bucket.delete, bucket.get, lambda key: list(bucket.stream(key, 0, 5 << 20))):
        with pytest.raises(Keyless, match="nobody answers"):
            verb("a")


def test_a_delete_that_the_store_does_not_answer_is_unsure_and_shows_no_signature() -> None:
    url = f"az://test?account={ACCOUNT}&endpoint=http://127.0.0.1:1&allow_http=true"
    with pytest.raises(Unsure, match="was not reached") as found:
        open_bucket(url, options={"sas_key": "sig=secret"}).delete("a")
    assert "secret" not in str(found.value)


def test_a_token_is_for_its_own_audience_alone() -> None:
    """Of the test's server: or else the tests above would show nothing."""
    identities = Identities()
    token = f"Bearer {identities.token(STORAGE)}"
    assert identities.knows(token, STORAGE)
    assert not identities.knows(token, "https://management.azure.com")
    assert not identities.knows("Bearer other", STORAGE)
    assert not identities.knows("", STORAGE)
