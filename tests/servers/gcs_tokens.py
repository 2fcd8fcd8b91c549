"""Gives for a token of Cloud Storage one that a boundary cuts down, as Google's token service does."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import parse_qs, unquote

from tests.servers.gcs import BUCKET, TOKEN, GcsServer
from tests.servers.http_service import Asked, Said

# The one shape of a condition that it understands; the real one evaluates CEL.
CONDITION = re.compile(
    r"resource\.name\.startsWith\('projects/_/buckets/(?P<bucket>[^/']+)/objects/(?P<objects>[^']+)'\) \|\| "
    r"api\.getAttribute\('storage\.googleapis\.com/objectListPrefix', ''\)\.startsWith\('(?P<lists>[^']+)'\)"
)
SIGNED = "urn:ietf:params:oauth:grant-type:jwt-bearer"  # for the account's own token
ROLES = ["inRole:roles/storage.objectUser"]


@dataclass
class Exchange:
    """`careless`: gives tokens that reach everything, whatever was asked for."""

    gcs: GcsServer
    careless: bool = False
    clock_off_s: float = 0.0
    numbers: count[int] = field(default_factory=count)

    def answer(self, asked: Asked) -> Said:
        form = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        if form.get("grant_type") == SIGNED:
            if not self.gcs.signed(form["assertion"]):
                return Said(401, b'{"error": "invalid_grant"}')
            return Said(200, json.dumps({"access_token": TOKEN, "expires_in": 3599}).encode())
        if form.get("subject_token") != TOKEN:
            return Said(400, b'{"error": "invalid_grant", "error_description": "this token is not known"}')
        (rule,) = json.loads(unquote(form["options"]))["accessBoundary"]["accessBoundaryRules"]
        wanted = CONDITION.fullmatch(rule["availabilityCondition"]["expression"])
        place = f"//storage.googleapis.com/projects/_/buckets/{BUCKET}"
        if not wanted or wanted["bucket"] != BUCKET or rule["availableResource"] != place:
            return Said(400, b'{"error": "invalid_request"}')
        if rule["availablePermissions"] != ROLES:
            return Said(400, b'{"error": "invalid_request"}')
        token = f"cut-down-{next(self.numbers)}"
        self.gcs.limits[token] = ("", "") if self.careless else (wanted["objects"], wanted["lists"])
        return Said(200, json.dumps({"access_token": token, "token_type": "Bearer"}).encode())
