"""Which keys a bucket may hold, the same for every kind of bucket. Pure."""

from __future__ import annotations

import functools
import re

from outlast.ports import Denied

_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")
KEY_BYTES_MAX = 1000  # S3 allows 1024, the bucket's own prefix included
KEYS_KEPT = 512  # a few are asked for again and again
SEGMENT_BYTES_MAX = 240  # file systems allow 255


class TooBig(Denied):
    """An object that is larger than anything that is read in one piece; `stream` reads those."""


def check_key(key: str) -> None:
    """Raises Denied for a key that could leave its folder, or that some store would change or refuse."""
    problem = _problem(key)
    if problem:
        raise Denied(f"the key {key[:200]!r} is not allowed: {problem}")


@functools.lru_cache(maxsize=KEYS_KEPT)
def _problem(key: str) -> str:
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    if len(encoded) > KEY_BYTES_MAX:
        return f"it has {len(encoded)} bytes, more than {KEY_BYTES_MAX}"
    for segment in encoded.split(b"/"):
        if segment in (b"", b".", b".."):
            return "it has an empty segment, '.' or '..'"
        if len(segment) > SEGMENT_BYTES_MAX:
            return f"a segment is longer than {SEGMENT_BYTES_MAX} bytes"
    if _FORBIDDEN.search(key):
        return "it has a control character or a backslash"
    return ""
