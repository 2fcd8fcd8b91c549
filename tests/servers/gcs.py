"""A small server that speaks the part of Cloud Storage's XML API that obstore uses, preconditions included.

It proves the client against the protocol as it is written down, never the cloud's own behaviour.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

BUCKET = "test"
TOKEN = "a-token"
KEYS = {"bearer_token": TOKEN}
WATCHER = {"bearer_token": "a-watcher"}  # is never refused: for a test that looks on
PAGE = 1_000


@dataclass
class Object:
    body: bytes
    generation: int

    @property
    def e_tag(self) -> str:
        return f'"{hashlib.md5(self.body).hexdigest()}"'


class Refusal(Exception):
    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


@dataclass
class GcsServer:
    """One bucket. `skew_s` is added to the clock in its replies; `headers` are those of the requests."""

    port: int = 0
    ip: str = "127.0.0.1"
    signed: Callable[[str], bool] = lambda token: False  # whether somebody's own key has signed this token
    skew_s: float = 0.0
    objects: dict[str, Object] = field(default_factory=dict)
    old: dict[tuple[str, int], Object] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    versioning: bool = False
    careless: bool = False  # ignores conditions
    race_s: float = 0.0  # looks at a condition, and writes only so much later
    refuses: tuple[int, str] | None = None  # how every request is answered, but a watcher's
    forbidden: frozenset[str] = frozenset()  # methods that these rights do not allow
    headers: list[dict[str, str]] = field(default_factory=list)
    limits: dict[str, tuple[str, str]] = field(default_factory=dict)  # token → objects, lists: below these
    lock: threading.Lock = field(default_factory=threading.Lock)
    numbers: Iterator[int] = field(default_factory=lambda: count(1_700_000_000_000_000))

    @property
    def endpoint(self) -> str:
        return f"http://{self.ip}:{self.port}"

    def url(self, bucket: str = BUCKET, prefix: str = "") -> str:
        return f"gs://{bucket}/{prefix}?endpoint={self.endpoint}&allow_http=true"

    def store(self, key: str, body: bytes, condition: str | None) -> Object:
        with self.lock:
            self.allow(key, condition)
        time.sleep(self.race_s)
        with self.lock:
            if not self.race_s:
                self.allow(key, condition)
            found = self.objects.get(key)
            if found and self.versioning:
                self.old[key, found.generation] = found
            self.objects[key] = made = Object(body, next(self.numbers))
            return made

    def allow(self, key: str, condition: str | None) -> None:
        found = self.objects.get(key)
        if condition is None or self.careless:
            return
        if int(condition) != (found.generation if found else 0):
            raise Refusal(412, "PreconditionFailed")

    def find(self, key: str, generation: str | None) -> Object:
        with self.lock:
            found = self.objects.get(key)
            if generation is not None and (found is None or found.generation != int(generation)):
                found = self.old.get((key, int(generation)))
        if found is None:
            raise Refusal(404, "NoSuchKey")
        return found

    def page(self, prefix: str, after: str) -> str:
        with self.lock:
            keys = sorted(key for key in self.objects if key.startswith(prefix) and key > after)
            rows = [(key, self.objects[key]) for key in keys[:PAGE]]
        more = len(keys) > PAGE
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Generation>{found.generation}</Generation>"
            f"<LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>{escape(found.e_tag)}</ETag><Size>{len(found.body)}</Size></Contents>"
            for key, found in rows
        )
        token = f"<NextContinuationToken>{escape(rows[-1][0])}</NextContinuationToken>" if more else ""
        truncated = f"<IsTruncated>{str(more).lower()}</IsTruncated>"
        return f"<ListBucketResult>{truncated}{token}{contents}</ListBucketResult>"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    gcs: GcsServer

    def handle_one(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        self.gcs.headers.append(dict(self.headers))
        try:
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            if self.gcs.refuses is not None and token == TOKEN:
                raise Refusal(*self.gcs.refuses)
            known = (TOKEN, WATCHER["bearer_token"], *self.gcs.limits)
            if token not in known and not self.gcs.signed(token):
                raise Refusal(401, "AuthenticationRequired")
            objects, lists = self.gcs.limits.get(token, ("", ""))
            if not (key or query.get("prefix", "")).startswith(objects if key else lists):
                raise Refusal(403, "AccessDenied")
            if self.command in self.gcs.forbidden:
                raise Refusal(403, "AccessDenied")
            if bucket != BUCKET:
                raise Refusal(404, "NoSuchBucket")
            getattr(self, f"on_{self.command.lower()}")(key, query, body)
        except Refusal as refusal:
            self.answer(refusal.status, f"<Error><Code>{refusal.code}</Code><Message>no</Message></Error>")

    def on_put(self, key: str, query: dict[str, str], body: bytes) -> None:
        told = self.headers.get("Content-MD5")
        if told and base64.b64decode(told) != hashlib.md5(body).digest():
            raise Refusal(400, "BadDigest")
        if "uploadId" in query:
            with self.gcs.lock:
                self.parts(query)[int(query["partNumber"])] = body
            return self.answer(200, "", {"ETag": f'"{hashlib.md5(body).hexdigest()}"'})
        made = self.gcs.store(key, body, self.headers.get("x-goog-if-generation-match"))
        return self.answer(200, "", _about(made))

    def on_post(self, key: str, query: dict[str, str], body: bytes) -> None:
        if "uploads" in query:
            upload = f"upload-{next(self.gcs.numbers)}"
            self.gcs.uploads[upload] = {}
            inside = f"<UploadId>{upload}</UploadId>"
            return self.answer(
                200, f"<InitiateMultipartUploadResult>{inside}</InitiateMultipartUploadResult>"
            )
        parts = self.parts(query)
        wanted = [int(node.text or 0) for node in ElementTree.fromstring(body).iter() if _is_number(node)]
        if wanted != sorted(parts):
            raise Refusal(400, "InvalidPart")
        made = self.gcs.store(key, b"".join(parts[number] for number in wanted), None)
        del self.gcs.uploads[query["uploadId"]]
        inside = f"<ETag>{escape(made.e_tag)}</ETag>"
        done = f"<CompleteMultipartUploadResult>{inside}</CompleteMultipartUploadResult>"
        return self.answer(200, done, _about(made))

    def on_get(self, key: str, query: dict[str, str], _body: bytes) -> None:
        if not key:
            after = query.get("continuation-token", "")
            return self.answer(200, self.gcs.page(query.get("prefix", ""), after))
        found = self.gcs.find(key, query.get("generation"))
        whole, status, headers = len(found.body), 200, _about(found)
        sent = found.body
        asked = self.headers.get("Range")
        if asked:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            end = min(whole, int(last) + 1 if last else whole)
            if int(first) >= whole:
                raise Refusal(416, "InvalidRange")
            sent, status = found.body[int(first) : end], 206
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{whole}"
        return self.answer(status, sent, headers)

    on_head = on_get

    def on_delete(self, key: str, query: dict[str, str], _body: bytes) -> None:
        if "uploadId" in query:
            self.parts(query)
            del self.gcs.uploads[query["uploadId"]]
            return self.answer(204, "")
        self.gcs.find(key, None)
        with self.gcs.lock:
            self.gcs.objects.pop(key, None)
        return self.answer(204, "")

    def parts(self, query: dict[str, str]) -> dict[int, bytes]:
        if query.get("uploadId", "") not in self.gcs.uploads:
            raise Refusal(404, "NoSuchUpload")
        return self.gcs.uploads[query["uploadId"]]

    def answer(self, status: int, body: str | bytes, headers: dict[str, str] | None = None) -> None:
        sent = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(sent))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            self.wfile.write(sent)

    def date_time_string(self, timestamp: float | None = None) -> str:
        moved = self.gcs.skew_s + time.time() if timestamp is None else timestamp
        return formatdate(moved, usegmt=True)

    do_GET = do_PUT = do_DELETE = do_HEAD = do_POST = handle_one

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class says so
        return


def _about(found: Object) -> dict[str, str]:
    stamp = {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", "ETag": found.e_tag}
    return {**stamp, "x-goog-generation": str(found.generation)}


def _is_number(node: ElementTree.Element) -> bool:
    return node.tag.rpartition("}")[2] == "PartNumber"


class _Server(ThreadingHTTPServer):
    request_queue_size = 64
    daemon_threads = True


@contextmanager
def gcs_server(ip: str = "127.0.0.1") -> Iterator[GcsServer]:
    gcs = GcsServer(ip=ip)
    server = _Server((ip, 0), type("Bound", (Handler,), {"gcs": gcs}))
    gcs.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield gcs
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
