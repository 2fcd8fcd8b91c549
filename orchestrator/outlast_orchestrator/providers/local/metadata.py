"""The metadata service of one instance, in the shape of IMDSv2."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http import HTTPStatus

from outlast_orchestrator.providers.local import clock
from outlast_orchestrator.providers.local.records import Record
from outlast_orchestrator.providers.local.serve import Handler, LoopbackServer

TOKEN_TTL_MAX_S = 21600
OUTAGE_HANG_MAX_S = 30.0
TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN_HEADER = "X-aws-ec2-metadata-token"  # noqa: S105  # the header's name, not a secret
NOT_FOUND = (
    b'<?xml version="1.0" encoding="iso-8859-1"?>\n<html><body><h1>404 - Not Found</h1></body></html>\n'
)


def document(record: Record, path: str, now: float) -> str | None:
    """The body under a path below `/latest/`, or None for 404."""
    order = record.order
    texts = {
        "meta-data/instance-id": record.id,
        "meta-data/instance-type": order.instance_type,
        "meta-data/instance-life-cycle": order.market,
        "meta-data/placement/region": order.region,
        "meta-data/placement/availability-zone": order.zone,
        "meta-data/placement/availability-zone-id": f"{order.region}-az-{order.zone}",
        "meta-data/local-ipv4": "127.0.0.1",
        "meta-data/events/maintenance/scheduled": "[]",
        "dynamic/instance-identity/document": json.dumps(
            {
                "accountId": "000000000000",
                "region": order.region,
                "availabilityZone": order.zone,
                "instanceId": record.id,
                "instanceType": order.instance_type,
            }
        ),
    }
    if record.noticed(now) and record.interruption is not None:
        time = clock.iso_utc(record.interruption.dies_at)
        texts["meta-data/spot/instance-action"] = json.dumps({"action": "terminate", "time": time})
        texts["meta-data/spot/termination-time"] = time
    if record.rebalance_at is not None and record.rebalance_at <= now:
        time = clock.iso_utc(record.rebalance_at)
        texts["meta-data/events/recommendations/rebalance"] = json.dumps({"noticeTime": time})
    return texts.get(path)


class Metadata:
    """Serves one instance on a port of its own; `reachable` False makes requests hang unanswered."""

    def __init__(self, port: int, record: Callable[[], Record | None], reachable: Callable[[], bool]) -> None:
        self._record = record
        self._reachable = reachable
        self._tokens: dict[str, float] = {}
        self._stopped = threading.Event()
        self._server = LoopbackServer(port, self._handler())
        self.port = self._server.port

    def stop(self) -> None:
        self._stopped.set()
        self._server.stop()

    def _handler(self) -> type[Handler]:
        service = self

        class MetadataHandler(Handler):
            def do_PUT(self) -> None:
                if service._swallow(self):
                    return
                ttl = self.headers.get(TTL_HEADER, "")
                if self.path != "/latest/api/token":
                    self.answer(HTTPStatus.NOT_FOUND, NOT_FOUND, "text/html")
                elif not ttl.isdigit() or not 1 <= int(ttl) <= TOKEN_TTL_MAX_S:
                    self.answer(HTTPStatus.BAD_REQUEST, b"")
                else:
                    self.answer(HTTPStatus.OK, service._issue(int(ttl)).encode(), **{TTL_HEADER: ttl})

            def do_GET(self) -> None:
                if service._swallow(self):
                    return
                record = service._record()
                if not service._valid(self.headers.get(TOKEN_HEADER, "")):
                    self.answer(HTTPStatus.UNAUTHORIZED, b"")
                    return
                body = record and document(record, self.path.removeprefix("/latest/"), clock.wall_s())
                if not body:
                    self.answer(HTTPStatus.NOT_FOUND, NOT_FOUND, "text/html")
                else:
                    kind = "application/json" if body[0] in "[{" else "text/plain"
                    self.answer(HTTPStatus.OK, body.encode(), kind)

        return MetadataHandler

    def _swallow(self, handler: Handler) -> bool:
        """While unreachable: waits as a lost packet would have the client wait, then hangs up."""
        if self._reachable():
            return False
        self._stopped.wait(OUTAGE_HANG_MAX_S)
        handler.close_connection = True
        return True

    def _issue(self, ttl_s: int) -> str:
        now_s = clock.monotonic_s()
        self._tokens = {token: until for token, until in self._tokens.items() if until > now_s}
        token = clock.token(20)
        self._tokens[token] = now_s + ttl_s
        return token

    def _valid(self, token: str) -> bool:
        return self._tokens.get(token, 0.0) > clock.monotonic_s()
