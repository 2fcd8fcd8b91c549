"""How a token is kept: only its hash is stored, so a stolen store opens nothing. Pure."""

from __future__ import annotations

import hashlib
import hmac


def hash_token(token: str) -> str:
    """What the store keeps of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def node_token(key: bytes, launch_id: str) -> str:
    """The token of the node on that instance.

    It follows from the server's key, so that an installation which is repeated after a restart of the
    controller brings the same token again, although the token itself is kept nowhere.
    """
    return hmac.new(key, f"node/{launch_id}".encode(), hashlib.sha256).hexdigest()
