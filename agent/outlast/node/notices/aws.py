"""Spot notices of the EC2 instance metadata service (IMDSv2), or of anything that speaks like it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from outlast.node_ports import NoticeSeen, NoticeUnknown

ENDPOINT_VARIABLE = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
ENDPOINT = "http://169.254.169.254"
VENDOR = "Amazon EC2"
TIMEOUT_S = 2.0
TOKEN_LIFE_S = 21600
BODY_BYTES_MAX = 64 << 10
TOKEN_PATH = "/latest/api/token"  # noqa: S105  # a path, not a token
ACTION_PATH = "/latest/meta-data/spot/instance-action"
REBALANCE_PATH = "/latest/meta-data/events/recommendations/rebalance"
ENDING_ACTIONS = ("terminate", "stop", "hibernate")


def source(environment: Mapping[str, str], vendor: str) -> MetadataNotices | None:
    """The source for this machine, or None when it is not one of theirs."""
    endpoint = environment.get(ENDPOINT_VARIABLE, "")
    if endpoint or vendor.startswith(VENDOR):
        return MetadataNotices(endpoint or ENDPOINT)
    return None


class MetadataNotices:
    """Asks the service itself: no proxies, no redirects, a short time-out.

    Time left is measured on the service's own clock (its Date header): the node's may be an hour off.
    """

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        self._host = parts.hostname or ""
        self._port = parts.port
        self._base = parts.path.rstrip("/")
        self._token = ""

    def poll(self) -> tuple[NoticeSeen, ...]:
        notices = (self._action(), self._rebalance())
        return tuple(notice for notice in notices if notice is not None)

    def _action(self) -> NoticeSeen | None:
        found = self._get(ACTION_PATH)
        if found is None:
            return None
        body, now = found
        value = _object(body)
        action = str(value.get("action", ""))
        if action not in ENDING_ACTIONS:
            return None
        return NoticeSeen(
            "terminate", _left_s(str(value.get("time", "")), now), f"{action} at {value.get('time')}"
        )

    def _rebalance(self) -> NoticeSeen | None:
        found = self._get(REBALANCE_PATH)
        if found is None:
            return None
        return NoticeSeen("rebalance", None, f"recommended at {_object(found[0]).get('noticeTime')}")

    def _get(self, path: str) -> tuple[bytes, datetime | None] | None:
        """The body and the service's time; None for 404. A refused token is fetched anew once."""
        for _ in range(2):
            if not self._token:
                status, body, _now = self._ask(
                    "PUT", TOKEN_PATH, {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_LIFE_S)}
                )
                if status != 200:
                    raise NoticeUnknown(f"the metadata service gives no token ({status})")
                self._token = body.decode("ascii", errors="replace").strip()
            status, body, now = self._ask("GET", path, {"X-aws-ec2-metadata-token": self._token})
            if status == 401:
                self._token = ""
                continue
            if status == 404:
                return None
            if status != 200:
                raise NoticeUnknown(f"the metadata service answers {status} to {path}")
            return body, now
        raise NoticeUnknown("the metadata service refuses its own token")

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, bytes, datetime | None]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
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
        return answer.status, body, _date(answer.getheader("Date"))


def _object(body: bytes) -> dict[str, object]:
    try:
        value = json.loads(body)
    except ValueError as error:
        raise NoticeUnknown(f"the metadata service answers no JSON: {body[:80]!r}") from error
    return value if isinstance(value, dict) else {}


def _date(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        return parsedate_to_datetime(text)
    except ValueError:
        return None


def _left_s(text: str, now: datetime | None) -> float | None:
    """Seconds until `text` (`2026-01-31T12:00:00Z`); None when that can't be known."""
    try:
        at = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return None if now is None else max(0.0, (at - now).total_seconds())
