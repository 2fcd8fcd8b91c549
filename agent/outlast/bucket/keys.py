"""Which keys a bucket may hold, the same for every kind of bucket. Pure."""

from __future__ import annotations

from outlast.ports import Denied

KEY_BYTES_MAX = 1000  # S3 allows 1024, the bucket's own prefix included
SEGMENT_BYTES_MAX = 240  # file systems allow 255


class TooBig(Denied):
    """An object that is larger than anything that is read in one piece; `stream` reads those."""


def check_key(key: str) -> None:
    """Raises Denied for a key that could leave its folder, or that some store would change or refuse."""
    problem = _problem(key)
    if problem:
        raise Denied(f"the key {key[:200]!r} is not allowed: {problem}")


def _problem(key: str) -> str:
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    if len(encoded) > KEY_BYTES_MAX:
        return f"it has {len(encoded)} bytes, more than {KEY_BYTES_MAX}"
    for segment in key.split("/"):
        if segment in ("", ".", ".."):
            return "it has an empty segment, '.' or '..'"
        if len(segment.encode()) > SEGMENT_BYTES_MAX:
            return f"a segment is longer than {SEGMENT_BYTES_MAX} bytes"
    if any(ord(sign) < 32 or ord(sign) == 127 or sign == "\\" for sign in key):
        return "it has a control character or a backslash"
    return ""
