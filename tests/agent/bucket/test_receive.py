"""Ranges over signed URLs: the plain answer is taken, all else is left to obstore, nothing secret is told."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from outlast.bucket.client import open_bucket
from outlast.bucket.receive import BUFFER_BYTES, RANGE_BYTES_MIN
from outlast.ports import Bucket, Missing, Unsure

BODY = bytes(range(253)) * (2 * RANGE_BYTES_MIN // 253)
KEYS = {
    "access_key_id": "AKIAEXAMPLE",
    "secret_access_key": "a-secret-key",
    "session_token": "a-session-token",
}
RESET = struct.pack("ii", 1, 0)  # a close that throws away what was not sent
REFUSALS = {
    "missing": (404, b"<Error><Code>NoSuchKey</Code></Error>"),
    "refused": (403, b"<Error><Code>AccessDenied</Code></Error>"),
}


@dataclass
class RangedS3:
    """One object, under any key. `manner` holds for the requests that come by a signed URL."""

    manner: str = "plain"
    port: int = 0
    signed: list[str] = field(default_factory=list)
    by_header: list[str] = field(default_factory=list)

    def bucket(self, more: str = "") -> Bucket:
        return open_bucket(
            f"s3://test?endpoint=http://127.0.0.1:{self.port}&allow_http=true{more}", options=KEYS
        )


@contextmanager
def ranged_s3() -> Iterator[RangedS3]:
    s3 = RangedS3()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            signed = "X-Amz-Signature=" in self.path
            (s3.signed if signed else s3.by_header).append(self.path)
            manner = s3.manner if signed or s3.manner == "missing" else "plain"
            first, last = map(int, re.findall(r"\d+", self.headers["Range"]))
            data = memoryview(BODY)[first : last + 1]
            if manner in REFUSALS:
                self._reply(*REFUSALS[manner])
            elif manner == "whole":
                self._reply(200, BODY)
            elif manner == "hangs up":
                self.close_connection = True
            else:
                self._reply(206, data, f"bytes {first}-{first + len(data) - 1}/{len(BODY)}", manner)

        def _reply(self, status: int, body: bytes | memoryview, told: str = "", manner: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", '"e"')
            self.send_header("Last-Modified", "Mon, 30 Nov 2026 00:00:00 GMT")
            if told:
                self.send_header("Content-Range", told)
            self.end_headers()
            if manner in ("breaks", "resets"):
                self.close_connection = True
                body = body[: BUFFER_BYTES + 7]
            self.wfile.write(body)
            if manner == "resets":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class says so
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    s3.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield s3
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def read(bucket: Bucket, offset: int, length: int) -> bytes:
    return b"".join(bytes(chunk) for chunk in bucket.stream("jobs/a b/ü", offset, length))


def test_a_range_comes_over_a_signed_url_and_through_one_buffer() -> None:
    with ranged_s3() as s3:
        bucket = s3.bucket()
        assert read(bucket, 5, RANGE_BYTES_MIN) == BODY[5 : RANGE_BYTES_MIN + 5]
        assert (len(s3.signed), s3.by_header) == (1, [])
        assert "/test/jobs/a%20b/%C3%BC?" in s3.signed[0]
        sizes = {len(chunk) for chunk in bucket.stream("k", 0, RANGE_BYTES_MIN)}
        assert sizes == {BUFFER_BYTES}


def test_a_small_range_is_not_worth_a_connection() -> None:
    with ranged_s3() as s3:
        assert read(s3.bucket(), 5, RANGE_BYTES_MIN - 1) == BODY[5 : RANGE_BYTES_MIN + 4]
        assert (s3.signed, len(s3.by_header)) == ([], 1)


@pytest.mark.parametrize("manner", ["refused", "whole", "hangs up"])
def test_any_other_answer_is_left_to_obstore(manner: str) -> None:
    with ranged_s3() as s3:
        s3.manner = manner
        assert read(s3.bucket(), 0, RANGE_BYTES_MIN) == BODY[:RANGE_BYTES_MIN]
        assert (len(s3.signed), len(s3.by_header)) == (1, 1)


def test_a_missing_object_is_told_as_ever() -> None:
    with ranged_s3() as s3:
        s3.manner = "missing"
        with pytest.raises(Missing, match="k"):
            list(s3.bucket().stream("k", 0, RANGE_BYTES_MIN))


@pytest.mark.parametrize("manner", ["breaks", "resets"])
def test_a_stream_that_breaks_is_in_doubt_and_tells_no_secret(manner: str) -> None:
    with ranged_s3() as s3:
        s3.manner = manner
        arrived: list[bytes] = []
        with pytest.raises(Unsure) as caught:
            arrived.extend(map(bytes, s3.bucket().stream("k", 0, RANGE_BYTES_MIN)))
        assert BODY.startswith(b"".join(arrived))  # a reset takes what had not been read yet along
        assert manner == "resets" or len(b"".join(arrived)) == BUFFER_BYTES + 7
        told = repr(caught.value) + repr(caught.value.__cause__) + repr(caught.value.__context__)
        assert "k: the stream" in told
        assert not any(secret in told for secret in (*KEYS.values(), "Signature"))


def test_nothing_is_asked_past_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with ranged_s3() as s3:
        bucket = s3.bucket()
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert read(bucket, 0, RANGE_BYTES_MIN) == BODY[:RANGE_BYTES_MIN]  # a client that was made before
        assert (s3.signed, len(s3.by_header)) == ([], 1)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert read(bucket, 0, RANGE_BYTES_MIN) == BODY[:RANGE_BYTES_MIN]
        assert len(s3.signed) == 1


def test_who_pays_is_told_in_a_header_so_no_signed_url_is_used() -> None:
    with ranged_s3() as s3:
        assert read(s3.bucket("&requester_pays=true"), 0, RANGE_BYTES_MIN) == BODY[:RANGE_BYTES_MIN]
        assert (s3.signed, len(s3.by_header)) == ([], 1)
