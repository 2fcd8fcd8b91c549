"""Gives the tokens of managed identities, as App Service and virtual machines ask for them."""

from __future__ import annotations

import base64
import json
import secrets
import time
from urllib.parse import urlsplit

from tests.servers.http_service import Asked, Said

TOKEN_PATH = "/metadata/identity/oauth2/token"
TENANT = "00000000-0000-0000-0000-00000000000a"
STORAGE = "https://storage.azure.com"
LIFE_S = 86_400
_SECRET = "X-IDENTITY-HEADER"


class Identities:
    """Answers for the server, which shows a secret, as in App Service; machines have a service of their own.

    A token is for one audience. Its form is a real one's, so that Azurite takes it; its signature is none.
    """

    clock_off_s = 0.0

    def __init__(self) -> None:
        self.url = ""
        self._secret = secrets.token_hex(8)
        self._tokens: dict[str, str] = {}  # → audience

    @property
    def environment(self) -> dict[str, str]:
        """What a process finds in App Service: azure-identity and obstore both look for it."""
        return {"IDENTITY_ENDPOINT": f"{self.url}{TOKEN_PATH}", "IDENTITY_HEADER": self._secret}

    def answer(self, asked: Asked) -> Said:
        if asked.path != TOKEN_PATH or asked.headers.get(_SECRET.lower()) != self._secret:
            return Said(401, b'{"statusCode": 401, "message": "no such secret"}')
        return self.given(asked.query["resource"])

    def given(self, resource: str) -> Said:
        found = {
            "access_token": self.token(resource),
            "expires_on": str(int(time.time()) + LIFE_S),
            "expires_in": str(LIFE_S),
            "resource": resource,
            "token_type": "Bearer",
        }
        return Said(200, json.dumps(found).encode(), {"Content-Type": "application/json"})

    def token(self, resource: str) -> str:
        now = int(time.time())
        claims = {
            "aud": resource,
            "iss": f"https://sts.windows.net/{TENANT}/",
            "iat": now,
            "nbf": now - 60,
            "exp": now + LIFE_S,
            "jti": secrets.token_hex(8),
        }
        token = f"{_part({'alg': 'RS256', 'typ': 'JWT'})}.{_part(claims)}.{_part({})}"
        self._tokens[token] = resource.rstrip("/")
        return token

    def knows(self, authorization: str, audience: str) -> bool:
        """Whether this header carries a token of ours for that audience."""
        kind, _, token = authorization.partition(" ")
        return kind == "Bearer" and urlsplit(audience)[:2] == urlsplit(self._tokens.get(token, ""))[:2]


def _part(value: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
