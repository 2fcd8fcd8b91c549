"""Writes and reads the status objects that nodes leave in the bucket."""

from __future__ import annotations

from outlast.ports import Bucket, Missing
from outlast.protocol.codec import dump, load
from outlast.protocol.messages import Report
from outlast.protocol.objects import status_key


def write_status(bucket: Bucket, report: Report) -> None:
    """Raises Unsure, Denied."""
    bucket.put(status_key(report.generation, report.rank), dump(report))


def read_status(bucket: Bucket, generation: int, rank: int) -> Report | None:
    """The node's last status, or None when it never wrote one. Raises FormatError, Unsure, Denied."""
    try:
        blob = bucket.get(status_key(generation, rank))
    except Missing:
        return None
    return parse_status(blob.body)


def parse_status(body: bytes) -> Report:
    """Raises FormatError."""
    return load(Report, body)
