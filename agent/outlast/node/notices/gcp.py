"""Preemption notices of the Compute Engine metadata server, or of anything that speaks like it."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from outlast.node.notices.firmware import Firmware
from outlast.node.notices.service import TIMEOUT_S, Answer, Service
from outlast.node_ports import NoticeSeen, NoticeUnknown

HOST_VARIABLE = "GCE_METADATA_HOST"  # of Google's own libraries: host, or host:port
ENDPOINT = "http://169.254.169.254"
CLOUD = "gcp"
PRODUCT = "Google Compute Engine"
HEADERS = {"Metadata-Flavor": "Google"}
BASE = "/computeMetadata/v1/instance/"
PREEMPTED, MAINTENANCE = BASE + "preempted", BASE + "maintenance-event"
# Written there by whoever made the machine: how long before the end it asked to be told.
NOTICE_ATTRIBUTE = BASE + "attributes/outlast-notice-s"
# Without a wish the notice comes together with the shutdown, which lasts 30 s at best.
# https://cloud.google.com/compute/docs/instances/spot
NOTICE_S = 30.0
HANG_S = 20.0
ENDING_MAINTENANCE = "TERMINATE_ON_HOST_MAINTENANCE"


def source(environment: Mapping[str, str], firmware: Firmware, cloud: str) -> PreemptionNotices | None:
    """The source for this machine, or None when it is not one of theirs."""
    host = environment.get(HOST_VARIABLE, "")
    if host or cloud == CLOUD or firmware.product == PRODUCT:
        return PreemptionNotices(f"http://{host}" if host else ENDPOINT)
    return None


class PreemptionNotices:
    """After the first poll each one hangs until something changes, or for `hang_s`.

    The server tells no deadline, only that it has begun. Who saw it begin knows what is left; who did not,
    plans for the least.
    """

    def __init__(self, endpoint: str, hang_s: float = HANG_S) -> None:
        self._service = Service(endpoint)
        self._hang_s = hang_s
        self._etag = ""  # of the last reading; "" when there is none that the next can follow
        self._notice_s: float | None = None
        self._preempted: NoticeSeen | None = None

    def poll(self) -> tuple[NoticeSeen, ...]:
        try:
            notice = self._preemption() or self._maintenance()  # an unread advice must not hide the end
        except NoticeUnknown:
            self._etag = ""  # a change may have been missed
            raise
        return () if notice is None else (notice,)

    def _preemption(self) -> NoticeSeen | None:
        if self._notice_s is None:
            self._notice_s = self._wished_notice_s()
        begun = bool(self._etag)
        answer = self._read_preempted()
        if answer.text not in ("TRUE", "FALSE"):
            raise NoticeUnknown(f"the metadata server says {answer.text[:40]!r} to preempted")
        self._etag = answer.headers.get("etag", "")
        if answer.text == "FALSE":
            self._preempted = None
        elif self._preempted is None:
            left_s = self._notice_s if begun else min(NOTICE_S, self._notice_s)
            self._preempted = NoticeSeen("terminate", left_s, "preempted")
        return self._preempted

    def _read_preempted(self) -> Answer:
        if self._preempted is not None or not self._etag:
            return self._service.known(PREEMPTED, HEADERS)
        wait = {"wait_for_change": "true", "timeout_sec": str(round(self._hang_s)), "last_etag": self._etag}
        return self._service.known(
            f"{PREEMPTED}?{urlencode(wait)}", HEADERS, timeout_s=self._hang_s + TIMEOUT_S
        )

    def _maintenance(self) -> NoticeSeen | None:
        """An hour ahead of it: advice to be safe soon. The end itself comes as a shutdown."""
        event = self._service.known(MAINTENANCE, HEADERS).text
        return NoticeSeen("rebalance", None, f"maintenance: {event}") if event == ENDING_MAINTENANCE else None

    def _wished_notice_s(self) -> float:
        found = self._service.get(NOTICE_ATTRIBUTE, HEADERS)
        try:
            return NOTICE_S if found is None else max(0.0, float(found.text))
        except ValueError:
            return NOTICE_S
