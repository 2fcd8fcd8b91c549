"""Spot notices of the EC2 instance metadata service (IMDSv2), or of anything that speaks like it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

from outlast.node.notices.firmware import Firmware
from outlast.node.notices.service import Answer, Service
from outlast.node_ports import NoticeSeen, NoticeUnknown

ENDPOINT_VARIABLE = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
ENDPOINT = "http://169.254.169.254"
CLOUD = "aws"
VENDOR = "Amazon EC2"
TOKEN_LIFE_S = 21600
TOKEN_PATH = "/latest/api/token"  # noqa: S105  # a path, not a token
ACTION_PATH = "/latest/meta-data/spot/instance-action"
REBALANCE_PATH = "/latest/meta-data/events/recommendations/rebalance"
ENDING_ACTIONS = ("terminate", "stop", "hibernate")


def source(environment: Mapping[str, str], firmware: Firmware, cloud: str) -> MetadataNotices | None:
    """The source for this machine, or None when it is not one of theirs."""
    endpoint = environment.get(ENDPOINT_VARIABLE, "")
    if endpoint or cloud == CLOUD or firmware.vendor.startswith(VENDOR):
        return MetadataNotices(endpoint or ENDPOINT)
    return None


class MetadataNotices:
    """Time left is measured on the service's own clock (its Date header): the node's may be an hour off."""

    def __init__(self, endpoint: str) -> None:
        self._service = Service(endpoint)
        self._token = ""

    def poll(self) -> tuple[NoticeSeen, ...]:
        notice = self._action() or self._rebalance()  # an advice that can't be read must not hide the end
        return () if notice is None else (notice,)

    def _action(self) -> NoticeSeen | None:
        found = self._get(ACTION_PATH)
        if found is None:
            return None
        value = found.json()
        action, time = str(value.get("action", "")), str(value.get("time", ""))
        if action not in ENDING_ACTIONS:
            return None
        return NoticeSeen("terminate", _left_s(time, found.now), f"{action} at {time}")

    def _rebalance(self) -> NoticeSeen | None:
        found = self._get(REBALANCE_PATH)
        if found is None:
            return None
        return NoticeSeen("rebalance", None, f"recommended at {found.json().get('noticeTime')}")

    def _get(self, path: str) -> Answer | None:
        """None for 404. A refused token is fetched anew once."""
        for _ in range(2):
            if not self._token:
                self._token = self._fresh_token()
            answer = self._service.ask(path, {"X-aws-ec2-metadata-token": self._token})
            if answer.status == 401:
                self._token = ""
                continue
            if answer.status == 404:
                return None
            if answer.status != 200:
                raise NoticeUnknown(f"the metadata service answers {answer.status} to {path}")
            return answer
        raise NoticeUnknown("the metadata service refuses its own token")

    def _fresh_token(self) -> str:
        life = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_LIFE_S)}
        answer = self._service.ask(TOKEN_PATH, life, method="PUT")
        if answer.status != 200:
            raise NoticeUnknown(f"the metadata service gives no token ({answer.status})")
        return answer.text


def _left_s(text: str, now: datetime | None) -> float | None:
    """Seconds until `text` (`2026-01-31T12:00:00Z`); None when that can't be known."""
    try:
        at = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return None if now is None else max(0.0, (at - now).total_seconds())
