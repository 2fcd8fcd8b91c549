"""Refuses a request body that is larger than its route takes, before it is in memory."""

from __future__ import annotations

import re

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REPORT_BYTES_MAX = 1 << 20
JSON_BYTES_MAX = 4 << 20
CODE_BYTES_MAX = 4 << 30
_CODE = re.compile(r"/v1/jobs/[^/]+/code/[^/]+")  # the one route that reads no body before it knows who asks


def bytes_max(method: str, path: str) -> int:
    if path == "/v1/report":
        return REPORT_BYTES_MAX
    if method == "PUT" and _CODE.fullmatch(path):
        return CODE_BYTES_MAX
    return JSON_BYTES_MAX


class BodyLimit:
    """Counts what arrives: a declared length is only the sender's word."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = bytes_max(scope["method"], scope["path"])
        arrived = 0

        async def counted() -> Message:
            nonlocal arrived
            message = await receive()
            if message["type"] == "http.request":
                arrived += len(message.get("body", b""))
                if arrived > limit:
                    raise HTTPException(413, f"the body is larger than the {limit >> 20} MiB that fit here")
            return message

        await self._app(scope, counted, send)
