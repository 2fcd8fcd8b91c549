"""What one check of a bucket found, and how bad that is. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class Verdict(str, enum.Enum):
    OK = "ok"
    WARN = "warn"  # jobs run safely; something costs money or time
    BAD = "bad"  # a job could not run, or not safely
    UNKNOWN = "not checked"


@dataclass(frozen=True)
class Finding:
    """`mend` is what a person can do about it: a command or a setting."""

    check: str
    verdict: Verdict
    told: str
    mend: str = ""


def usable(findings: Iterable[Finding]) -> bool:
    return all(finding.verdict is not Verdict.BAD for finding in findings)


def ok(check: str, told: str) -> Finding:
    return Finding(check, Verdict.OK, told)


def warn(check: str, told: str, mend: str) -> Finding:
    return Finding(check, Verdict.WARN, told, mend)


def bad(check: str, told: str, mend: str) -> Finding:
    return Finding(check, Verdict.BAD, told, mend)


def unknown(check: str, told: str, mend: str = "") -> Finding:
    return Finding(check, Verdict.UNKNOWN, told, mend)
