"""Keys of Cloudflare R2 for one job: temporary ones of an access key, for the job's prefix alone."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from outlast.bucket import s3
from outlast.bucket.address import read_address
from outlast.ports import Denied, Unsure
from outlast.protocol.messages import BucketKeys
from outlast.protocol.objects import job_prefix

API = "https://api.cloudflare.com/client/v4"
TOKEN = "CLOUDFLARE_API_TOKEN"  # noqa: S105  # the variable's name
ACCOUNT = re.compile(r"[0-9a-f]{32}")
WILD = frozenset("*?")  # nothing is documented of what these mean in a prefix
LIFE_S, LIFE_MIN_S, LIFE_MAX_S = 3600, 900, 604_800
LIMIT_S = 10.0
HERE = ("127.0.0.1", "::1", "localhost")
_BUSY, _SERVER = 429, 500
_NAMES = {
    "access_key_id": "accessKeyId",
    "secret_access_key": "secretAccessKey",
    "session_token": "sessionToken",
}


@dataclass(frozen=True)
class R2Options:
    """`access_key_id`: what it may do in the bucket is the most that any job's keys can do."""

    account: str
    access_key_id: str
    token_file: str = ""  # with the API token; "": in the environment
    endpoint_url: str = API
    life_s: int = LIFE_S

    def __post_init__(self) -> None:
        if not ACCOUNT.fullmatch(self.account):
            raise ValueError(f"account: {self.account!r} is no account id: write its 32 hexadecimal digits")
        if not LIFE_MIN_S <= self.life_s <= LIFE_MAX_S:
            raise ValueError(f"life_s: {self.life_s}: write {LIFE_MIN_S} to {LIFE_MAX_S} seconds")
        address = urlsplit(self.endpoint_url)
        if address.scheme != "https" and address.hostname not in HERE:
            raise ValueError(f"endpoint_url: {self.endpoint_url!r}: the token goes there, so write https://")


class TemporaryKeys:
    """Implements `core.ports.Credentials`. Safe from any thread.

    https://developers.cloudflare.com/api/resources/r2/subresources/temporary_credentials/methods/create/
    """

    def __init__(self, options: R2Options) -> None:
        self._options = options

    @property
    def about(self) -> str:
        return (
            f"temporary keys of the R2 access key {self._options.access_key_id}, for {self._options.life_s} s"
        )

    def issue(self, storage: str, job: str) -> BucketKeys:
        address = read_address(storage, s3.QUERY_KEYS, s3.EXAMPLE)
        prefix = address.below(job_prefix(job))
        if WILD & set(prefix):
            raise Denied(f"the prefix {prefix!r} has a character that may mean more: use another one")
        wanted = {
            "bucket": address.bucket,
            "parentAccessKeyId": self._options.access_key_id,
            "permission": "object-read-write",
            "prefixes": [prefix],
            "ttlSeconds": self._options.life_s,
        }
        found = self._ask(wanted)
        try:
            keys = {ours: str(found["result"][theirs]) for ours, theirs in _NAMES.items()}
        except (KeyError, TypeError) as error:
            raise Unsure(f"Cloudflare's answer has no keys in it: {error!r} is missing") from error
        return BucketKeys(keys, float(self._options.life_s))

    def _ask(self, wanted: dict[str, Any]) -> Any:
        """Raises Denied, Unsure."""
        options = self._options
        url = f"{options.endpoint_url.rstrip('/')}/accounts/{options.account}/r2/temp-access-credentials"
        try:
            said = httpx.post(
                url, json=wanted, headers={"Authorization": f"Bearer {self._token()}"}, timeout=LIMIT_S
            )
            answer = said.json()
        except httpx.HTTPError as error:
            raise Unsure(f"Cloudflare was not reached: {error}") from error
        except ValueError as error:
            raise Unsure(f"Cloudflare answers {said.status_code}, and no JSON") from error
        if said.is_success:
            return answer
        told = _told(answer)
        if said.status_code == _BUSY or said.status_code >= _SERVER:
            raise Unsure(f"Cloudflare answers {said.status_code}: {told}")
        raise Denied(f"Cloudflare gives no keys for one job: {told} ({said.status_code})")

    def _token(self) -> str:
        file = self._options.token_file
        if not file:
            found = os.environ.get(TOKEN, "").strip()
            missing = f"no API token for R2: set {TOKEN} for this server, or storage_keys.token_file"
        else:
            missing = f"storage_keys.token_file: {file} can't be read, or is empty"
            try:
                found = Path(file).read_text().strip()
            except (OSError, UnicodeError) as error:
                raise Denied(missing) from error
        if not found:
            raise Denied(missing)
        return found


def _told(answer: Any) -> str:
    errors = answer.get("errors") if isinstance(answer, dict) else None
    words = [str(one.get("message", one)) for one in errors or () if isinstance(one, dict)]
    return "; ".join(words) or "no reason"
