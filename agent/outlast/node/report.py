"""The way to the controller's API over HTTP, by the standard library: reports, commands, bucket keys."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlencode, urlsplit

from outlast.ports import LinkDown, LinkRefused
from outlast.protocol.codec import FormatError, dump, load
from outlast.protocol.messages import BucketKeys, JobSecrets, Reply, Report

T = TypeVar("T")
TIMEOUT_S = 5.0
KEYS_LIMIT_S = 20.0  # the controller asks its cloud for them
HANG_MARGIN_S = 10.0  # the answer may need a moment after the wait is over
REPLY_BYTES_MAX = 4 << 20
REFUSED = (400, 401, 403, 404, 410, 413)


class HttpLink:
    """One connection a request: a frozen one can't hold up the next. No proxies, no redirects."""

    witness = True

    def __init__(self, api_url: str, token: str, instance: str, ca_file: Path | None = None) -> None:
        """Raises ValueError for a URL that can't be used, OSError for an unreadable CA file."""
        parts = urlsplit(api_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"api_url {api_url!r} is no http or https address")
        self._host = parts.hostname
        self._port = parts.port
        self._base = parts.path.rstrip("/")
        self._instance = instance
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._tls: ssl.SSLContext | None = None
        if parts.scheme == "https":
            self._tls = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
        self._seen = 0

    def report(self, report: Report) -> Reply:
        return self._ask(Reply, "POST", "/v1/report", dump(report), TIMEOUT_S)

    def hang(self, timeout_s: float) -> Reply | None:
        query = urlencode({"wait": f"{timeout_s:g}", "seen": str(self._seen)})
        reply = self._ask(Reply, "GET", self._own(f"commands?{query}"), None, timeout_s + HANG_MARGIN_S)
        self._seen = reply.number
        return reply

    def bucket_keys(self) -> BucketKeys:
        """Fresh ones. Raises LinkDown, LinkRefused."""
        return self._ask(BucketKeys, "POST", self._own("bucket-keys"), b"", KEYS_LIMIT_S)

    def secrets(self) -> Mapping[str, str]:
        """Those that the job names. Raises LinkDown, LinkRefused."""
        return self._ask(JobSecrets, "POST", self._own("secrets"), b"", TIMEOUT_S).values

    def _own(self, path: str) -> str:
        return f"/v1/nodes/{quote(self._instance, safe='')}/{path}"

    def _ask(self, kind: type[T], method: str, path: str, body: bytes | None, timeout_s: float) -> T:
        connection = self._connect(timeout_s)
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, self._base + path, body=body, headers=headers)
            answer = connection.getresponse()
            data = answer.read(REPLY_BYTES_MAX + 1)
        except (OSError, http.client.HTTPException) as error:
            raise LinkDown(f"{self._host}: {error or type(error).__name__}") from error
        finally:
            connection.close()
        if answer.status in REFUSED:
            raise LinkRefused(
                f"the controller answers {answer.status}: {data[:200].decode(errors='replace')}"
            )
        if answer.status != 200:
            raise LinkDown(f"the controller answers {answer.status}: {data[:200].decode(errors='replace')}")
        try:
            return load(kind, data)
        except FormatError as error:
            raise LinkDown(f"the controller's answer can't be read: {error}") from error

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        return http.client.HTTPSConnection(self._host, self._port, timeout=timeout_s, context=self._tls)
