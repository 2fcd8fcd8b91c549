"""Asks a metadata service: straight, without proxies or redirects, and what it can't tell is unknown."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from outlast.node_ports import NoticeUnknown

TIMEOUT_S = 2.0
BODY_BYTES_MAX = 64 << 10


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str]  # names in small letters

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", errors="replace").strip()

    @property
    def now(self) -> datetime | None:
        """The service's own time: the node's clock may be an hour off."""
        try:
            return parsedate_to_datetime(self.headers.get("date", ""))
        except ValueError:
            return None

    def json(self) -> dict[str, object]:
        """The object in the body, {} for any other JSON. Raises NoticeUnknown."""
        try:
            value = json.loads(self.body)
        except ValueError as error:
            raise NoticeUnknown(f"the metadata service answers no JSON: {self.body[:80]!r}") from error
        return value if isinstance(value, dict) else {}


class Service:
    """One metadata service by its address, e.g. `http://169.254.169.254`. Raises NoticeUnknown."""

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        self._host = parts.hostname or ""
        self._port = parts.port
        self._base = parts.path.rstrip("/")

    def ask(
        self, path: str, headers: dict[str, str], *, method: str = "GET", timeout_s: float = TIMEOUT_S
    ) -> Answer:
        """Any answer, whatever its status."""
        # http.client knows no proxies: what a proxy says of "the" metadata service is of another machine.
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        try:
            connection.request(method, self._base + path, headers=headers)
            answer = connection.getresponse()
            body = answer.read(BODY_BYTES_MAX)
        except (OSError, http.client.HTTPException) as error:
            raise NoticeUnknown(
                f"the metadata service can't be reached: {error or type(error).__name__}"
            ) from error
        finally:
            connection.close()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, body, found)

    def known(self, path: str, headers: dict[str, str], *, timeout_s: float = TIMEOUT_S) -> Answer:
        """As `get`, of a path that every machine there has: without it nothing is known."""
        found = self.get(path, headers, timeout_s=timeout_s)
        if found is None:
            raise NoticeUnknown(f"the metadata service does not know {path.partition('?')[0]}")
        return found

    def get(self, path: str, headers: dict[str, str], *, timeout_s: float = TIMEOUT_S) -> Answer | None:
        """The answer of status 200; None for 404. Any other is unknown, never "nothing"."""
        answer = self.ask(path, headers, timeout_s=timeout_s)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise NoticeUnknown(f"the metadata service answers {answer.status} to {path.partition('?')[0]}")
        return answer
