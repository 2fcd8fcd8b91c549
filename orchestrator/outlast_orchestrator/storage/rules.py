"""What a bucket's own rules do to checkpoints: keep litter or what was pruned, take what is needed. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from outlast_orchestrator.storage.finding import Finding, bad, ok, warn

UNFINISHED_DAYS = 7
OLD_DAYS = 1
ASLEEP = frozenset({"GLACIER", "DEEP_ARCHIVE"})  # can't be read without hours of waiting
UNFINISHED, VERSIONS, EXPIRY = "unfinished uploads", "old versions", "expiry"
OURS = "outlast"
Rule = Mapping[str, Any]


def judge(
    rules: Sequence[Rule], prefix: str, bucket: str, endpoint: str, versioned: bool | None
) -> list[Finding]:
    """`prefix`: under which the jobs lie. `versioned`: whether overwritten objects stay."""
    active = [rule for rule in rules if rule.get("Status") == "Enabled" and not _tags(rule)]
    whole = [rule for rule in active if prefix.startswith(_prefix(rule)) and not _sizes(rule)]
    touching = [
        rule for rule in active if prefix.startswith(_prefix(rule)) or _prefix(rule).startswith(prefix)
    ]
    found = [_expiry(touching)]
    wanted: dict[str, Any] = {}
    if any("AbortIncompleteMultipartUpload" in rule for rule in whole):
        found.append(ok(UNFINISHED, "a rule removes them"))
    else:
        wanted["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": UNFINISHED_DAYS}
    expires_old = any("NoncurrentVersionExpiration" in rule for rule in whole)
    if versioned and not expires_old:
        wanted["NoncurrentVersionExpiration"] = {"NoncurrentDays": OLD_DAYS}
    mend = (
        _command(bucket, endpoint, [*(r for r in rules if r.get("ID") != OURS), _rule(prefix, wanted)])
        if wanted
        else ""
    )
    if "AbortIncompleteMultipartUpload" in wanted:
        told = (
            "no rule removes the parts of an upload whose machine died: they are paid for, unseen, for ever"
        )
        found.append(warn(UNFINISHED, told, mend))
    if "NoncurrentVersionExpiration" in wanted:
        told = "versioning is on: every pruned checkpoint stays as an old version, and is paid for"
        found.append(warn(VERSIONS, told, mend))
    elif versioned is not None:
        told = "kept, and a rule removes them" if versioned else "none: what is pruned is gone"
        found.append(ok(VERSIONS, told))
    return found


def _expiry(touching: Sequence[Rule]) -> Finding:
    for rule in touching:
        name = rule.get("ID") or _prefix(rule) or "without a name"
        expires = rule.get("Expiration") or {}
        if "Days" in expires or "Date" in expires:
            when = f"{expires['Days']} days" if "Days" in expires else f"the {expires['Date']}"
            told = f"the rule {name!r} deletes checkpoints after {when}, also those that are still needed"
            return bad(EXPIRY, told, "take the prefix of the jobs out of that rule")
        for transition in rule.get("Transitions") or ():
            if transition.get("StorageClass") in ASLEEP:
                to = transition["StorageClass"]
                told = f"the rule {name!r} moves checkpoints to {to}, where no job can read them"
                return bad(EXPIRY, told, "take the prefix of the jobs out of that rule")
    return ok(EXPIRY, "no rule takes checkpoints away")


def _rule(prefix: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {"ID": OURS, "Status": "Enabled", "Filter": {"Prefix": prefix}, **wanted}


def _command(bucket: str, endpoint: str, rules: Sequence[Rule]) -> str:
    """It replaces all rules, so those that are there are in it."""
    at = ["--endpoint-url", endpoint] if endpoint else []
    text = json.dumps({"Rules": list(rules)}, separators=(",", ":"), default=str)
    words = ["aws", "s3api", "put-bucket-lifecycle-configuration", "--bucket", bucket, *at]
    return shlex.join([*words, "--lifecycle-configuration", text])  # rules are named by others


def _filter(rule: Rule) -> Mapping[str, Any]:
    found = rule.get("Filter") or {}
    return {**found, **(found.get("And") or {})}


def _prefix(rule: Rule) -> str:
    return str(_filter(rule).get("Prefix") or rule.get("Prefix") or "")


def _tags(rule: Rule) -> bool:
    """Rules for tagged objects are not for ours, which have none."""
    return bool({"Tag", "Tags"} & set(_filter(rule)))


def _sizes(rule: Rule) -> bool:
    return bool({"ObjectSizeGreaterThan", "ObjectSizeLessThan"} & set(_filter(rule)))
