"""Which of a bucket's rules touch the jobs, and what is told about them."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from outlast_orchestrator.storage.finding import Finding, Verdict
from outlast_orchestrator.storage.rules import judge

ABORT: dict[str, Any] = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3}}
EXPIRE: dict[str, Any] = {"Expiration": {"Days": 30}}
PREFIX = "ml/jobs/"


def _rule(prefix: str = "", status: str = "Enabled", **more: Any) -> dict[str, Any]:
    return {"ID": "theirs", "Status": status, "Filter": {"Prefix": prefix}, **more}


def _judge(*rules: dict[str, Any], versioned: bool = False) -> dict[str, Finding]:
    return {f.check: f for f in judge(rules, PREFIX, "bucket", "", versioned)}


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        (_rule("", **ABORT), Verdict.OK),
        (_rule("ml/", **ABORT), Verdict.OK),
        (_rule("ml/jobs/", **ABORT), Verdict.OK),
        (_rule("ml/jobs/one/", **ABORT), Verdict.WARN),
        (_rule("other/", **ABORT), Verdict.WARN),
        (_rule("", "Disabled", **ABORT), Verdict.WARN),
        ({"Status": "Enabled", "Prefix": "ml/", **ABORT}, Verdict.OK),  # as it was written before filters
        ({"Status": "Enabled", "Filter": {"Tag": {"Key": "a", "Value": "b"}}, **ABORT}, Verdict.WARN),
        ({"Status": "Enabled", "Filter": {"And": {"Prefix": "ml/", "Tags": []}}, **ABORT}, Verdict.WARN),
    ],
)
def test_a_rule_for_unfinished_uploads_counts_only_where_it_covers_all_jobs(
    rule: dict[str, Any], verdict: Verdict
) -> None:
    assert _judge(rule)["unfinished uploads"].verdict is verdict


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        (_rule("", **EXPIRE), Verdict.BAD),
        (_rule("ml/jobs/one/", **EXPIRE), Verdict.BAD),
        (_rule("other/", **EXPIRE), Verdict.OK),
        (_rule("", "Disabled", **EXPIRE), Verdict.OK),
        (_rule("", Expiration={"ExpiredObjectDeleteMarker": True}), Verdict.OK),
        (_rule("", Transitions=[{"Days": 30, "StorageClass": "GLACIER"}]), Verdict.BAD),
        (_rule("", Transitions=[{"Days": 30, "StorageClass": "STANDARD_IA"}]), Verdict.OK),
        ({"Status": "Enabled", "Filter": {"ObjectSizeGreaterThan": 9}, **EXPIRE}, Verdict.BAD),
    ],
)
def test_a_rule_that_takes_checkpoints_away_is_bad_wherever_it_touches_jobs(
    rule: dict[str, Any], verdict: Verdict
) -> None:
    assert _judge(rule)["expiry"].verdict is verdict


def test_the_command_that_mends_keeps_the_rules_that_are_there() -> None:
    mend = _judge(_rule("other/", **EXPIRE), versioned=True)["unfinished uploads"].mend
    assert '"ID":"theirs"' in mend
    assert '"ID":"outlast"' in mend
    assert '"NoncurrentVersionExpiration":{"NoncurrentDays":1}' in mend
    assert '"Prefix":"ml/jobs/"' in mend


def test_the_command_that_mends_runs_nothing_else() -> None:
    """A rule's name is somebody else's word, and the command is made to be pasted."""
    rule = _rule("it's; rm -rf ~ #/", ID="'$(rm -rf ~)'", **EXPIRE)
    mend = _judge(rule)["unfinished uploads"].mend
    *words, text = shlex.split(mend)
    assert words[-1] == "--lifecycle-configuration"
    assert rule in json.loads(text)["Rules"]
