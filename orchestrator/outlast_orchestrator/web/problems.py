"""Turns every error into `{"error": one line}` with the status that says who can mend it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from outlast.ports import BucketError
from outlast_orchestrator.core.errors import OutlastError, ProviderError, StoreError, UserError

LINE_CHARS_MAX = 600


class Refusal(OutlastError):
    """An answer other than success, for a reason that the caller can understand."""

    def __init__(self, status: int, message: str, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.data = dict(data or {})


def one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LINE_CHARS_MAX else line[: LINE_CHARS_MAX - 1] + "…"


def answer(status: int, message: str, data: Mapping[str, Any] | None = None) -> JSONResponse:
    return JSONResponse({"error": one_line(message), **(data or {})}, status)


def _status(error: Exception) -> int:
    if isinstance(error, Refusal):
        return error.status
    table = {UserError: 400, StoreError: 503, ProviderError: 502, BucketError: 502}
    return next((status for kind, status in table.items() if isinstance(error, kind)), 500)


def _known(_request: Request, error: Exception) -> JSONResponse:
    data = error.data if isinstance(error, Refusal) else None
    return answer(_status(error), str(error) or type(error).__name__, data)


def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    return answer(400, f"{place or 'the request'}: {first['msg']}")


def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return answer(error.status_code, str(error.detail))


def _unexpected(_request: Request, error: Exception) -> JSONResponse:
    # The server writes the traceback into its own log; the caller gets a line that finds it there.
    return answer(500, f"the server met an error of its own ({type(error).__name__}): see the server's log")


def install(app: FastAPI) -> None:
    for kind in (OutlastError, BucketError):
        app.add_exception_handler(kind, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)
