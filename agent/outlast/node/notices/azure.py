"""Scheduled Events of the Azure metadata service, or of anything that speaks like it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from outlast.node.notices.firmware import Firmware
from outlast.node.notices.service import TIMEOUT_S, Service
from outlast.node_ports import NoticeSeen, NoticeUnknown

ENDPOINT_VARIABLE = "AZURE_POD_IDENTITY_AUTHORITY_HOST"  # where azure-identity looks for the service, too
ENDPOINT = "http://169.254.169.254"
CLOUD = "azure"
ASSET_TAG = "7783-7084-3265-9085-8269-3286-77"  # of every machine there, and of no Hyper-V elsewhere
HEADERS = {"Metadata": "true"}
NAME_PATH = "/metadata/instance/compute?api-version=2021-02-01"
EVENTS_PATH = "/metadata/scheduledevents?api-version=2020-07-01"
# The first call of a machine switches the service on, and may take two minutes.
# https://learn.microsoft.com/azure/virtual-machines/linux/scheduled-events
FIRST_TIMEOUT_S = 130.0
PREEMPT = "Preempt"
# "Up to 30 seconds", says the page on Spot; what people saw was often less than ten.
PREEMPT_LEFT_MAX_S = 10.0
# The machine is restarted or moved, and its local disk may be lost. A freeze of some seconds is no end.
ENDING_TYPES = (PREEMPT, "Terminate", "Reboot", "Redeploy")


def source(environment: Mapping[str, str], firmware: Firmware, cloud: str) -> ScheduledEvents | None:
    """The source for this machine, or None when it is not one of theirs."""
    endpoint = environment.get(ENDPOINT_VARIABLE, "")
    if endpoint or cloud == CLOUD or firmware.asset_tag == ASSET_TAG:
        return ScheduledEvents(endpoint or ENDPOINT)
    return None


class ScheduledEvents:
    """Never acknowledges an event: that would end the machine at once, before the save. A released machine
    is ended by the controller anyway. Other machines' events are in the same answer: they are passed over.
    """

    def __init__(self, endpoint: str) -> None:
        self._service = Service(endpoint)
        self._name = ""
        self._timeout_s = FIRST_TIMEOUT_S

    def poll(self) -> tuple[NoticeSeen, ...]:
        if not self._name:
            self._name = self._own_name()
        answer = self._service.known(EVENTS_PATH, HEADERS, timeout_s=self._timeout_s)
        self._timeout_s = TIMEOUT_S
        events = answer.json().get("Events")
        if not isinstance(events, list):
            raise NoticeUnknown(f"the metadata service answers no list of events: {answer.body[:80]!r}")
        notices = [_notice(event, self._name, answer.now) for event in events if isinstance(event, dict)]
        return tuple(notice for notice in notices if notice is not None)

    def _own_name(self) -> str:
        name = self._service.known(NAME_PATH, HEADERS).json().get("name")
        if not isinstance(name, str) or not name:
            raise NoticeUnknown("the metadata service does not tell this machine's name")
        return name


def _notice(event: dict[str, object], name: str, now: datetime | None) -> NoticeSeen | None:
    kind, resources = event.get("EventType"), event.get("Resources")
    if kind not in ENDING_TYPES or not isinstance(resources, list):
        return None
    if name.lower() not in [str(resource).lower() for resource in resources]:
        return None
    started = event.get("EventStatus") == "Started"  # then NotBefore is empty
    left_s = 0.0 if started else _left_s(str(event.get("NotBefore", "")), now)
    if kind == PREEMPT:
        left_s = PREEMPT_LEFT_MAX_S if started or left_s is None else min(left_s, PREEMPT_LEFT_MAX_S)
    return NoticeSeen("terminate", left_s, f"{kind}, event {event.get('EventId')}")


def _left_s(text: str, now: datetime | None) -> float | None:
    """Seconds until `text` (`Mon, 19 Sep 2016 18:29:47 GMT`); None when that can't be known."""
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return None if now is None or at.tzinfo is None else max(0.0, (at - now).total_seconds())
