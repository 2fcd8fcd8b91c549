"""A service account of Google's: the key file that a person is given, and what it signs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt
from google.auth.exceptions import GoogleAuthError

EMAIL = "controller@project-1.iam.gserviceaccount.com"


class Account:
    """Its key signs tokens without asking anybody: Google's services take those in place of OAuth's."""

    def __init__(self, file: Path, token_url: str = "http://127.0.0.1:9/token") -> None:
        """Writes `file`, for GOOGLE_APPLICATION_CREDENTIALS. `token_url`: where OAuth tokens are given."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.file = file
        values = {
            "type": "service_account",
            "project_id": "project-1",
            "private_key_id": "key-1",
            "private_key": private.decode(),
            "client_email": EMAIL,
            "client_id": "1",
            "token_uri": token_url,
        }
        file.write_text(json.dumps(values))
        file.chmod(0o600)

    def signed(self, token: str) -> bool:
        try:
            claims: dict[str, Any] = jwt.decode(token, certs=self._public)
        except (ValueError, GoogleAuthError):
            return False
        return claims.get("iss") == EMAIL
