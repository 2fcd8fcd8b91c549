"""Finds out whether a bucket's conditional writes really work, before a job trusts them."""

from __future__ import annotations

from contextlib import suppress

from outlast.ports import Bucket, BucketError, Conflict, Denied, Exists

PROBE_PREFIX = "probe/"


class BucketRefused(BucketError):
    """The store answers, but not with what the protocol rests on."""


def probe(bucket: Bucket, nonce: str) -> None:
    """Returns when the bucket can be used. `nonce` is random: two probes at once must not meet.

    Raises BucketRefused; Denied and Unsure when it could not be found out.
    """
    key = f"{PROBE_PREFIX}{nonce}"
    first = bucket.create(key, b"first " + nonce.encode())
    try:
        _probe_create(bucket, key, nonce)
        _probe_replace(bucket, key, nonce, first)
        _probe_list(bucket, key)
    finally:
        with suppress(Denied):  # who may not delete can keep checkpoints safely, only not prune them
            bucket.delete(key)


def _probe_create(bucket: Bucket, key: str, nonce: str) -> None:
    try:
        bucket.create(key, b"second " + nonce.encode())
    except Exists:
        return
    raise BucketRefused(
        "this bucket overwrites an object although it was told to create it only if absent (If-None-Match): "
        "two machines could both own the job. Use a store with conditional writes."
    )


def _probe_replace(bucket: Bucket, key: str, nonce: str, first: str) -> None:
    third = b"third " + nonce.encode()
    bucket.replace(key, third, first)
    try:
        bucket.replace(key, b"fourth " + nonce.encode(), first)
    except Conflict:
        if bucket.get(key).body == third:
            return
    raise BucketRefused(
        "this bucket overwrites a newer version although it was told to replace an older one (If-Match): "
        "two machines could both own the job. Use a store with conditional writes."
    )


def _probe_list(bucket: Bucket, key: str) -> None:
    if key not in {info.key for info in bucket.list(PROBE_PREFIX)}:
        raise BucketRefused(
            "this bucket does not list an object that was just written: stale listings are not supported. "
            "Use a store with strong consistency."
        )
