"""Decides who is asking: a person with an admin token, or one node with a token of its own."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from fastapi import Request

from outlast_orchestrator.core.ports import Clock, Store
from outlast_orchestrator.core.tokens import hash_token
from outlast_orchestrator.web.problems import Refusal

ADMIN = "admin"
NODE = "node"
TOKEN_BYTES = 32
TOKEN_PREFIX = "olt_"  # noqa: S105  # lets scanners recognise a token that leaked
YEAR_S = 365 * 86400.0


@dataclass(frozen=True)
class Caller:
    name: str  # a node: its launch id
    scope: str


def issue_token(store: Store, clock: Clock, name: str, scope: str = ADMIN, life_s: float = YEAR_S) -> str:
    """A fresh token, returned once and kept as a hash only."""
    token = TOKEN_PREFIX + clock.token(TOKEN_BYTES)
    store.add_token(name, hash_token(token), scope, clock.wall_s() + life_s)
    return token


class Door:
    """Looks at the token of a request.

    A token is 256 random bits, so that a plain sha256 is as good at rest as a slow hash: there is no
    dictionary to try. It is looked up by its hash; whoever measures that look-up learns of a hash that
    they cannot steer. The final comparison takes the same time whatever it finds.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def caller(self, request: Request) -> Caller:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            raise Refusal(401, "no token: send it as `Authorization: Bearer <token>`")
        hashed = hash_token(token.strip())
        found = self._store.token(hashed)
        if found is None:
            raise Refusal(401, "this token is not known here: it is wrong, or was made for another server")
        name, scope, expires_at = found
        if expires_at <= self._clock.wall_s():
            raise Refusal(401, f"the token {name!r} has expired: ask for a new one")
        if scope.startswith(NODE + ":"):
            name, scope = scope.removeprefix(NODE + ":"), NODE
        return Caller(name, scope)

    def admin(self, request: Request) -> Caller:
        """For use as a dependency: only people with an admin token pass."""
        caller = self.caller(request)
        if not same(caller.scope, ADMIN):
            raise Refusal(403, "this token is a node's: it may only report, and ask for its commands")
        return caller


def only_node(caller: Caller, launch_id: str) -> None:
    """Refuses everybody but the node with this launch id."""
    if not (same(caller.scope, NODE) and same(caller.name, launch_id)):
        raise Refusal(403, f"this token does not belong to the node {launch_id!r}")


def same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
