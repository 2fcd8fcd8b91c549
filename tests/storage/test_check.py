"""A bucket is checked over the real wire: what is fit is called so, and each thing that is not is found."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from tests.fakes.bucket import MemoryBucket
from tests.servers import azurite
from tests.servers import gcs as gcs_kit
from tests.servers.azurite import AzureServer
from tests.servers.canned_s3 import canned_s3
from tests.servers.gcs import GcsServer
from tests.servers.seaweedfs import ADMIN, SCOPED, SCOPED_PREFIX, S3Server

from outlast.bucket.client import open_bucket
from outlast_orchestrator.storage import probes, wire
from outlast_orchestrator.storage.check import check_storage
from outlast_orchestrator.storage.clock import CheckClock
from outlast_orchestrator.storage.finding import Finding, Verdict, usable
from outlast_orchestrator.storage.place import Place, open_place
from outlast_orchestrator.storage.settings_of import bucket_rules

OK, WARN, BAD, UNKNOWN = Verdict.OK, Verdict.WARN, Verdict.BAD, Verdict.UNKNOWN
TRIED = {"rights": OK, "conditional writes": OK, "upload in parts": OK}


def _verdicts(findings: Sequence[Finding]) -> dict[str, Verdict]:
    """Without the speed: how fast this machine is proves nothing."""
    return {finding.check: finding.verdict for finding in findings if finding.check != "throughput"}


def _found(findings: Sequence[Finding], check: str) -> Finding:
    (finding,) = [finding for finding in findings if finding.check == check]
    return finding


def _is_empty(url: str, options: Mapping[str, str] = {}) -> bool:  # it is only read
    return list(open_bucket(url, options=options).list("")) == []


def test_a_folder_that_is_fit(tmp_path: Path) -> None:
    findings = check_storage(str(tmp_path))
    assert _verdicts(findings) | {"space": OK} == {"space": OK, **TRIED}
    assert usable(findings)
    assert _is_empty(str(tmp_path))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    findings = check_storage(str(tmp_path / "not-mounted"))
    assert _verdicts(findings) == {"space": BAD}
    assert f"mkdir -p {tmp_path}/not-mounted" in _found(findings, "space").mend


def test_a_container_that_is_fit(azure_server: AzureServer) -> None:
    url = azure_server.url(prefix="fit")
    findings = check_storage(url, azurite.KEYS)
    rules = {"expiry": UNKNOWN, "unfinished uploads": OK, "old versions": OK}
    assert _verdicts(findings) == {"clock": OK, **TRIED, "damaged upload": OK, **rules}
    assert "Md5Mismatch" in _found(findings, "damaged upload").told
    assert _is_empty(url, azurite.KEYS)


def test_a_gcs_bucket_that_is_fit(gcs: GcsServer) -> None:
    findings = check_storage(gcs.url(prefix="fit"), gcs_kit.KEYS)
    rules = {"expiry": UNKNOWN, "unfinished uploads": UNKNOWN, "old versions": OK}
    # A bare token can't sign a URL: said as it is, and never taken for a refusal.
    assert _verdicts(findings) == {"clock": OK, **TRIED, "damaged upload": UNKNOWN, **rules}
    assert "sign a URL, and these can't" in _found(findings, "damaged upload").told
    assert "gcloud storage buckets describe gs://test" in _found(findings, "expiry").mend
    assert gcs.objects == {}


def _s3(server: S3Server, bucket: str) -> Any:
    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=ADMIN["access_key_id"],
        aws_secret_access_key=ADMIN["secret_access_key"],
    )
    client.create_bucket(Bucket=bucket)
    return client


def _mend(client: Any, finding: Finding) -> None:
    """Carries the very command out that a person is told."""
    words = shlex.split(finding.mend)
    assert words[:3] == ["aws", "s3api", "put-bucket-lifecycle-configuration"]
    rules = json.loads(words[words.index("--lifecycle-configuration") + 1])
    bucket = words[words.index("--bucket") + 1]
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=rules)


def test_an_s3_bucket_is_fit_and_what_is_told_to_mend_it_does(s3_server: S3Server) -> None:
    client, url = _s3(s3_server, "plain"), s3_server.url("plain", prefix="fit")
    findings = check_storage(url, ADMIN)
    rules = {"expiry": OK, "unfinished uploads": WARN, "old versions": OK}
    assert _verdicts(findings) == {"clock": OK, **TRIED, "damaged upload": OK, **rules}
    assert usable(findings)
    assert _is_empty(url, ADMIN)
    _mend(client, _found(findings, "unfinished uploads"))
    assert _verdicts(bucket_rules(open_place(url, ADMIN), False))["unfinished uploads"] is OK


def test_versions_that_would_keep_what_was_pruned_are_found_and_mended(s3_server: S3Server) -> None:
    client = _s3(s3_server, "versioned")
    client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    place = open_place(s3_server.url("versioned"), ADMIN)
    assert wire.old_versions(place, "nonce") is True
    finding = _found(bucket_rules(place, True), "old versions")
    assert finding.verdict is WARN
    _mend(client, finding)
    after = _verdicts(bucket_rules(place, True))
    assert after == {"expiry": OK, "unfinished uploads": OK, "old versions": OK}


def test_a_rule_that_takes_checkpoints_away_is_bad(s3_server: S3Server) -> None:
    rule = {"ID": "tidy", "Status": "Enabled", "Filter": {"Prefix": "jobs/"}, "Expiration": {"Days": 7}}
    client = _s3(s3_server, "expiring")
    client.put_bucket_lifecycle_configuration(Bucket="expiring", LifecycleConfiguration={"Rules": [rule]})
    findings = bucket_rules(open_place(s3_server.url("expiring"), ADMIN), False)
    assert _found(findings, "expiry").verdict is BAD
    assert "'tidy' deletes checkpoints after 7 days" in _found(findings, "expiry").told
    assert not usable(findings)


def test_keys_that_may_do_it_only_under_their_prefix(s3_server: S3Server) -> None:
    findings = check_storage(s3_server.url(prefix="jobs/other"), SCOPED)
    assert _verdicts(findings) == {"clock": OK, "rights": BAD}
    assert "s3:PutObject" in _found(findings, "rights").mend
    assert usable([probes.rights(open_place(s3_server.url(prefix=SCOPED_PREFIX), SCOPED), "nonce")])


def test_without_the_library_the_rules_are_not_checked_and_that_is_said(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    findings = bucket_rules(open_place(s3_server.url(), ADMIN), False)
    assert _found(findings, "expiry").verdict is UNKNOWN
    assert _found(findings, "unfinished uploads").mend == "pip install 'outlast[aws]'"
    assert _found(findings, "old versions").verdict is OK  # that was tried


def _gcs(gcs: GcsServer) -> Place:
    return open_place(gcs.url(), gcs_kit.KEYS)


def test_a_store_that_ignores_conditions_is_bad(gcs: GcsServer) -> None:
    gcs.careless = True
    assert probes.conditions(_gcs(gcs), "nonce").verdict is BAD


def test_a_store_that_looks_at_a_condition_and_writes_later_is_bad(gcs: GcsServer) -> None:
    gcs.race_s = 0.3
    finding = probes.conditions(_gcs(gcs), "nonce")
    assert finding.verdict is BAD
    assert "at the same time" in finding.told


def test_a_clock_that_is_wrong_is_found_also_without_rights(gcs: GcsServer) -> None:
    place = open_place(gcs.url(), {"bearer_token": "wrong"})
    for skew_s, verdict, says in ((-90, WARN, "ahead of"), (3_600, BAD, "behind")):
        gcs.skew_s = skew_s
        finding = wire.clock_skew(place, CheckClock())
        assert finding.verdict is verdict
        assert says in finding.told


def test_rights_that_lack_one_thing(gcs: GcsServer) -> None:
    gcs.forbidden = frozenset({"DELETE"})
    finding = probes.rights(_gcs(gcs), "one")
    assert finding.verdict is WARN
    assert "old checkpoints stay" in finding.told
    assert probes.conditions(_gcs(gcs), "two").verdict is OK
    gcs.forbidden = frozenset({"PUT"})
    finding = probes.rights(_gcs(gcs), "three")
    assert finding.verdict is BAD
    assert "nothing can be written" in finding.told
    assert "roles/storage.objectUser" in finding.mend
    gcs.forbidden = frozenset({"GET"})
    assert "nothing can be read" in probes.rights(_gcs(gcs), "four").told


def test_old_versions_are_found_on_the_bucket_itself(gcs: GcsServer) -> None:
    assert wire.old_versions(_gcs(gcs), "nonce") is False
    gcs.versioning = True
    assert wire.old_versions(_gcs(gcs), "nonce") is True
    gcs.forbidden = frozenset({"PUT"})
    assert wire.old_versions(_gcs(gcs), "nonce") is None


def test_a_store_that_accepts_damaged_bytes_is_told() -> None:
    with canned_s3((200, ""), (200, "<DeleteResult></DeleteResult>")) as server:
        finding = wire.damage(open_place(server.url, ADMIN), "nonce")
    assert finding.verdict is WARN
    assert [method for method, _ in server.seen] == ["PUT", "POST"]  # and what was accepted is deleted


class Eager(MemoryBucket):
    """Shows an upload before it is whole."""

    def upload(self, key: str, source: Any, wrote: Any) -> None:
        self.put(key, b"half")
        super().upload(key, source, wrote)


def test_an_upload_that_is_seen_before_it_is_whole_is_bad() -> None:
    place = Place("memory", "folder", "memory", "", Eager(chunk_bytes=1 << 20), None, {}, {})
    (finding,) = probes.parts(place, "nonce", CheckClock())
    assert finding.verdict is BAD
    assert "looks whole" in finding.told
