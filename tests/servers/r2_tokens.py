"""Cloudflare's API for temporary keys of R2, from its reference; SeaweedFS's own STS sees to their limits.

Cloudflare itself has not been compared with it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import boto3  # type: ignore[import-untyped]
from tests.servers.http_service import Asked, Said
from tests.servers.seaweedfs import ADMIN, ROLE, S3Server

ACCOUNT, PARENT, TOKEN = "0123456789abcdef" * 2, "parent-key", "an-api-token"
_PATH = re.compile(r"/accounts/(?P<account>[0-9a-f]{32})/r2/temp-access-credentials")
_NAMES = {"accessKeyId": "AccessKeyId", "secretAccessKey": "SecretAccessKey", "sessionToken": "SessionToken"}


@dataclass
class R2Tokens:
    """`refusal`: status and message, to every call. `careless`: the keys reach the whole bucket."""

    store: S3Server
    refusal: tuple[int, str] | None = None
    careless: bool = False
    clock_off_s: float = 0.0
    asked: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, asked: Asked) -> Said:
        match = _PATH.fullmatch(asked.path)
        if asked.method != "POST" or match is None or match["account"] != ACCOUNT:
            return _error(404, "Could not route to the resource")
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return _error(403, "Authentication error")
        if self.refusal is not None:
            return _error(*self.refusal)
        wanted = json.loads(asked.body)
        self.asked.append(wanted)
        if wanted["parentAccessKeyId"] != PARENT or wanted["permission"] != "object-read-write":
            return _error(400, "The parent access key is not known")
        prefixes = [""] if self.careless else wanted["prefixes"]
        found = self._keys(wanted["bucket"], prefixes, wanted["ttlSeconds"])
        result = {ours: found[theirs] for ours, theirs in _NAMES.items()}
        return _said(200, {"result": result, "errors": [], "messages": [], "success": True})

    def _keys(self, bucket: str, prefixes: list[str], life_s: int) -> dict[str, str]:
        place = f"arn:aws:s3:::{bucket}"
        lists = {"StringLike": {"s3:prefix": [f"{one}*" for one in prefixes]}}
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
                    "Resource": [f"{place}/{one}*" for one in prefixes],
                },
                {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": place, "Condition": lists},
            ],
        }
        keys = {f"aws_{name}": value for name, value in ADMIN.items() if name.endswith(("_id", "_key"))}
        sts = boto3.client("sts", endpoint_url=self.store.endpoint, region_name="us-east-1", **keys)
        found: dict[str, str] = sts.assume_role(
            RoleArn=ROLE, RoleSessionName="r2", Policy=json.dumps(policy), DurationSeconds=life_s
        )["Credentials"]
        return found


def _error(status: int, message: str) -> Said:
    errors = [{"code": 10_000, "message": message}]
    return _said(status, {"result": None, "errors": errors, "messages": [], "success": False})


def _said(status: int, body: dict[str, Any]) -> Said:
    return Said(status, json.dumps(body).encode())
