"""Reads a bucket's own rules where a library for that is installed, and says so where none is."""

from __future__ import annotations

import importlib
from typing import Any

from outlast_orchestrator.storage.finding import Finding, ok, unknown, warn
from outlast_orchestrator.storage.place import Place
from outlast_orchestrator.storage.rules import EXPIRY, UNFINISHED, VERSIONS, judge

TIMEOUT_S = 10


def bucket_rules(place: Place, versioned: bool | None) -> list[Finding]:
    """Findings on expiry, unfinished uploads and old versions."""
    if place.kind == "s3":
        return _s3(place, versioned)
    if place.kind == "gs":
        return _gcs(place, versioned)
    return _azure(versioned)


def _s3(place: Place, versioned: bool | None) -> list[Finding]:
    try:
        boto3 = importlib.import_module("boto3")
        botocore = importlib.import_module("botocore")
        importlib.import_module("botocore.config")
    except ModuleNotFoundError:
        why, mend = "reading the rules needs a library that is not installed", "pip install 'outlast[aws]'"
        return [unknown(EXPIRY, why, mend), unknown(UNFINISHED, why, mend), *_seen(versioned, why, mend)]
    try:
        rules = _read_rules(boto3, botocore, place)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        why = " ".join(str(error).split())
        mend = f"allow s3:GetLifecycleConfiguration on arn:aws:s3:::{place.name}"
        return [unknown(EXPIRY, why, mend), unknown(UNFINISHED, why, mend), *_seen(versioned, why, mend)]
    return judge(rules, f"{place.prefix}jobs/", place.name, place.settings.get("endpoint", ""), versioned)


def _read_rules(boto3: Any, botocore: Any, place: Place) -> list[dict[str, Any]]:
    config = botocore.config.Config(
        connect_timeout=TIMEOUT_S, read_timeout=TIMEOUT_S, retries={"max_attempts": 1}
    )
    client = boto3.client(
        "s3",
        endpoint_url=place.settings.get("endpoint") or None,
        region_name=place.settings.get("region") or None,
        config=config,
        **{f"aws_{name}": value for name, value in place.options.items()},
    )
    try:
        return list(client.get_bucket_lifecycle_configuration(Bucket=place.name)["Rules"])
    except botocore.exceptions.ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchLifecycleConfiguration":
            return []
        raise


def _gcs(place: Place, versioned: bool | None) -> list[Finding]:
    why = "reading the rules of this kind of bucket is not built in"
    mend = (
        f"gcloud storage buckets describe gs://{place.name} "
        "--format='default(lifecycle_config,versioning_enabled,soft_delete_policy)': no rule should delete "
        "what lies under jobs/, one with AbortIncompleteMultipartUpload should be there; soft delete keeps "
        "(and bills) what was pruned for as long as it says"
    )
    clear = f"gcloud storage buckets update gs://{place.name} --no-versioning"
    return [unknown(EXPIRY, why, mend), unknown(UNFINISHED, why, mend), *_seen(versioned, why, clear)]


def _azure(versioned: bool | None) -> list[Finding]:
    why = "reading the rules of this kind of bucket is not built in"
    mend = (
        "az storage account management-policy show --account-name ACCOUNT --resource-group GROUP: no rule "
        "should delete or archive what lies under jobs/"
    )
    clear = (
        "az storage account blob-service-properties update --account-name ACCOUNT --resource-group GROUP "
        "--enable-versioning false"
    )
    gone = ok(UNFINISHED, "the service removes uncommitted blocks by itself, after a week")
    return [unknown(EXPIRY, why, mend), gone, *_seen(versioned, why, clear)]


def _seen(versioned: bool | None, why: str, mend: str) -> list[Finding]:
    """What was tried on the bucket counts also where its rules can't be read."""
    if versioned is None:
        return [unknown(VERSIONS, why, mend)]
    if versioned:
        told = "versioning is on: what is pruned stays as an old version, unless a rule removes it"
        return [warn(VERSIONS, told, mend)]
    return [ok(VERSIONS, "none: what was overwritten can't be read any more")]
