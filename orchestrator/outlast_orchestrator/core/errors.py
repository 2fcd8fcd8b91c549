"""The controller's error tree: a class is an action for the caller. Pure.

OutlastError
├── UserError          bad input; the message is the whole story: what, where, how to mend
├── ProviderError      a cloud said no; each says which scope it blocks, and for how long
│   ├── Capacity       no machines in that pool now: next pool at once
│   ├── Quota          an account limit: another family or region, and tell
│   ├── Denied         credentials or rights: stop using the account, and tell
│   ├── Invalid        this request is wrong: never again as it is, and tell
│   ├── Throttled      too many calls: later
│   └── Transient      server or network: the same call again; its outcome is unknown
├── StoreError         the store failed or is read-only
├── BucketError        a job's bucket could not be read or written now
├── Garbage            an object in a bucket was read, and is not what the protocol says
└── Deposed            another controller leads: nothing more may be written by this one
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class OutlastError(Exception):
    """Base of every error that Outlast raises on purpose."""


class UserError(OutlastError):
    """Something the person can mend. Shown as one line, without a traceback, with exit status 2."""


class StoreError(OutlastError):
    """The store could not be read or written."""


class BucketError(OutlastError):
    """A job's bucket could not be read or written: nothing is known about what it holds."""


class Garbage(OutlastError):
    """What was read from a bucket is not what the protocol says: trying again will not help."""


class Deposed(OutlastError):
    """This controller no longer leads: its term is over."""


class ScopeKind(str, enum.Enum):
    POOL = "pool"  # instance type × zone × market
    ZONE = "zone"
    FAMILY = "family"  # a quota family in a region
    REGION = "region"
    ACCOUNT = "account"
    REQUEST = "request"  # this very request
    CALL = "call"  # only this kind of call


@dataclass(frozen=True)
class Scope:
    """What an error blocks. `key` is a path, widest first: `local/here/zone-a/cpu-1/spot` for a pool.

    A part may hold the shell's wildcards, for a quota that types and zones share: `cloud/region/*/g*/spot`.
    """

    kind: ScopeKind
    key: str


def call_scope(cloud: str, op: str) -> Scope:
    """Only this kind of call. The key starts like no pool's, so no pool is blocked with it."""
    return Scope(ScopeKind.CALL, f"call/{cloud}/{op}")


class ProviderError(OutlastError):
    """A refusal by a cloud. `retry_after_s` None: until a person changes something."""

    default_retry_s: float | None = 60.0
    tell = False
    also: tuple[ProviderError, ...] = ()  # what else one call was refused for, each with its own scope

    def __init__(self, message: str, scope: Scope, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.scope = scope
        self.retry_after_s = self.default_retry_s if retry_after_s is None else retry_after_s


class Capacity(ProviderError):
    """No capacity in the pool."""

    default_retry_s = 180.0


class Quota(ProviderError):
    """An account limit; the message names it exactly."""

    default_retry_s = 3600.0
    tell = True


class Denied(ProviderError):
    """Credentials or permissions."""

    default_retry_s = None
    tell = True


class Invalid(ProviderError):
    """The request is wrong and will stay wrong."""

    default_retry_s = None
    tell = True


class Throttled(ProviderError):
    """Too many calls."""

    default_retry_s = 5.0


class Transient(ProviderError):
    """A server or network fault: the call may have taken place."""

    default_retry_s = 5.0
