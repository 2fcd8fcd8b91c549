"""What is seen by plain HTTP: the store's clock, whether it refuses damaged bytes and keeps old ones."""

from __future__ import annotations

import base64
import hashlib
import http.client
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from outlast.bucket.probe import PROBE_PREFIX
from outlast.ports import BucketError
from outlast_orchestrator.storage.clock import CheckClock
from outlast_orchestrator.storage.finding import Finding, bad, ok, unknown, warn
from outlast_orchestrator.storage.place import Place

TIMEOUT_S = 20.0
SKEW_WARN_S = 30.0
SKEW_BAD_S = 300.0  # stores refuse signatures beyond 5 to 15 minutes
_CODE = re.compile(rb"<Code>(\w+)</Code>")
_DAMAGED = frozenset({"BadDigest", "InvalidDigest", "Md5Mismatch"})


@dataclass(frozen=True)
class Reply:
    status: int
    date: str
    code: str


def ask(method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Reply:
    """One request, without a retry. Raises OSError, http.client.HTTPException."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=TIMEOUT_S)
    try:
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        connection.request(method, target, body=body or None, headers=dict(headers))
        found = connection.getresponse()
        code = _CODE.search(found.read())
        return Reply(found.status, found.getheader("Date", ""), code.group(1).decode() if code else "")
    finally:
        connection.close()


def clock_skew(place: Place, clock: CheckClock) -> Finding:
    """The store's own time against this machine's. Needs no rights: a refusal has a date as well."""
    assert place.store is not None
    before_s, start_s = clock.wall_s(), clock.monotonic_s()
    try:
        reply = ask("GET", place.store.origin, {})
        store_s = parsedate_to_datetime(reply.date).timestamp()
    except (OSError, http.client.HTTPException) as error:
        return unknown("clock", f"{place.store.origin} does not answer: {error or type(error).__name__}")
    except ValueError:
        return unknown("clock", "the store's answers have no date")
    # A date has whole seconds, and was written while the request was on its way.
    middle_s = before_s + (clock.monotonic_s() - start_s) / 2
    skew_s = middle_s - (store_s + 0.5)
    told = f"this machine's clock is {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} the store's"
    mend = "timedatectl set-ntp true (here, and in the image of the machines)"
    if abs(skew_s) >= SKEW_BAD_S:
        return bad("clock", f"{told}: signatures will be refused", mend)
    if abs(skew_s) >= SKEW_WARN_S:
        return warn("clock", told, mend)
    return ok("clock", "agrees with the store's")


def damage(place: Place, nonce: str) -> Finding:
    """Bytes that do not fit their checksum must be refused."""
    assert place.store is not None
    name = "damaged upload"
    key = f"{place.prefix}{PROBE_PREFIX}{nonce}-damage"
    headers = {
        "Content-MD5": base64.b64encode(hashlib.md5(b"other", usedforsecurity=False).digest()).decode()
    }
    if place.kind == "az":
        headers["x-ms-blob-type"] = "BlockBlob"
    try:
        url = place.store.signed_url("PUT", key)
    except BucketError:
        told = "it takes keys that can sign a URL, and these can't"
        return unknown(name, told, "check with an access key, or with a service account's key file")
    try:
        reply = ask("PUT", url, headers, nonce.encode())
    except (OSError, http.client.HTTPException) as error:
        return unknown(name, f"the store does not answer: {error or type(error).__name__}")
    if reply.code in _DAMAGED:
        return ok(name, f"refused ({reply.code})")
    if reply.status >= 300:
        return unknown(name, f"the store refused it, but for another reason ({reply.status} {reply.code})")
    with suppress(BucketError):  # the check of the rights tells about it
        place.store.delete(key)
    told = "accepted: damage on the way is found only when a checkpoint is read back"
    return warn(name, told, "keep at least two checkpoints (keep: 2); each is verified at the restore")


def old_versions(place: Place, nonce: str) -> bool | None:
    """Whether what was overwritten can still be read; None when that could not be found out."""
    assert place.store is not None
    key = f"{place.prefix}{PROBE_PREFIX}{nonce}-versions"
    try:
        try:
            return place.store.keeps_versions(key)
        finally:
            place.store.delete(key)
    except BucketError:
        return None
