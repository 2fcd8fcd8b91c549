"""The keys that controller and machines know each other by: they follow from the server's key. Pure.

A machine's host key is made by us before the machine exists and goes to it in its user data, so the
controller knows whom it talks to from the first connection on, and nothing is trusted on first use.
Because the keys are derived, none is stored, and a controller after a restart or a restore has the same.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from outlast_orchestrator.core.types import LaunchRequest
from outlast_orchestrator.remote.access import PLACE

KIND = "ssh-ed25519"

_MAGIC = b"openssh-key-v1\0"
_BLOCK_BYTES = 8  # of the cipher "none"
_LINE = 70


@dataclass(frozen=True)
class KeyPair:
    """`private` in OpenSSH's own format, `public` as a line of `authorized_keys` without a comment."""

    private: str
    public: str


def host_key(key: bytes, launch_id: str) -> KeyPair:
    """That of the machine of one launch."""
    return _pair(hmac.new(key, f"ssh/host/{launch_id}".encode(), hashlib.sha256).digest())


def login_key(key: bytes) -> KeyPair:
    """The controller's own, by which machines let it in."""
    return _pair(hmac.new(key, b"ssh/login", hashlib.sha256).digest())


def with_host_key(request: LaunchRequest, key: bytes) -> LaunchRequest:
    """The request as the cloud gets it. The same one again for a repeat, as its token demands."""
    if PLACE not in request.user_data:
        return request
    private = host_key(key, request.launch_id).private.strip()
    return replace(request, user_data=request.user_data.replace(PLACE, private))


def _pair(seed: bytes) -> KeyPair:
    raw = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    public = _string(KIND.encode()) + _string(raw)
    return KeyPair(_private(seed, raw, public), f"{KIND} {base64.b64encode(public).decode()}")


def _private(seed: bytes, raw: bytes, public: bytes) -> str:
    """https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.key

    Written here because the library draws the two check numbers at random: equal requests need equal texts.
    """
    check = hashlib.sha256(raw).digest()[:4]
    inner = check + check + _string(KIND.encode()) + _string(raw) + _string(seed + raw) + _string(b"")
    inner += bytes(range(1, 1 + -len(inner) % _BLOCK_BYTES))
    none = _string(b"none")
    body = _MAGIC + none + none + _string(b"") + struct.pack(">I", 1) + _string(public) + _string(inner)
    text = base64.b64encode(body).decode()
    lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
    marks = ("-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----")
    return "\n".join([marks[0], *lines, marks[1], ""])


def _string(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body
