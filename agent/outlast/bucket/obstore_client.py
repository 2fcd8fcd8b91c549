"""An object store through obstore: its exceptions become our errors; no conditional write is repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from outlast.bucket.credentials import NoKeys
from outlast.bucket.dialect import Answer, Dialect, meaning, short, told_of
from outlast.bucket.keys import TooBig, check_key
from outlast.bucket.receive import CONNECT_LIMIT_S, STALL_S, Receiver
from outlast.bucket.signed import Urls, delete_at
from outlast.bucket.transfer import SMALL_BYTES, fetch_range, send_parts
from outlast.ports import Blob, Denied, Exists, Missing, ObjectInfo, Source
from outlast.protocol.limits import MANIFEST_BYTES_MAX

if TYPE_CHECKING:
    from obstore import HTTP_METHOD

LIST_CHUNK = 1_000

REQUEST_LIMIT_S = 20.0  # of a small object; after it the outcome is in doubt
PART_LIMIT_S = 600.0
READ_RETRIES = 3
PART_RETRIES = 5
SIGNED_FOR_S = 60


@dataclass(frozen=True)
class Reach:
    """How patient a connection is, and how often it may repeat a request."""

    retries: int
    request_s: float
    stall_s: float | None = None

    def client(self, *, allow_http: bool, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        options: dict[str, Any] = {
            "allow_http": allow_http,
            "connect_timeout": timedelta(seconds=CONNECT_LIMIT_S),
            "timeout": timedelta(seconds=self.request_s),
        }
        if self.stall_s is not None:
            options["read_timeout"] = timedelta(seconds=self.stall_s)
        if headers:
            options["default_headers"] = dict(headers)
        return options

    def retry(self) -> Any:
        return {"max_retries": self.retries, "retry_timeout": timedelta(seconds=self.request_s)}


def check_options(options: Mapping[str, str], known: frozenset[str]) -> None:
    """Raises ValueError for an option that this kind of bucket does not have."""
    unknown = sorted(set(options) - known)
    if unknown:
        raise ValueError(f"unknown bucket option {unknown[0]!r}; known are {', '.join(sorted(known))}")


class ObjectStoreBucket:
    """A bucket behind `connect`, in its own `dialect`."""

    def __init__(
        self,
        connect: Callable[[Reach], Any],
        dialect: Dialect,
        settings: Mapping[str, str] = MappingProxyType({}),
        *,
        signs_here: bool = False,
        urls: Urls | None = None,
    ) -> None:
        """`signs_here`: a URL is signed without asking anybody, so ranges are read over signed ones.
        `urls`: of whoever has a signature, which may be for one folder; ranges are read over them too."""
        self.place, self.origin, self.settings = dialect.place, dialect.origin, settings
        self._dialect = dialect
        # A conditional write that was applied and is then repeated fails on its own first try, so those
        # are sent exactly once; what is free of doubt may be repeated.
        self._once = connect(Reach(0, REQUEST_LIMIT_S))
        self._reads = connect(Reach(READ_RETRIES, PART_LIMIT_S, STALL_S))
        self._parts = connect(Reach(PART_RETRIES, PART_LIMIT_S))
        self._urls = urls
        self._receiver = Receiver(self._signed) if signs_here or urls is not None else None

    def get(self, key: str) -> Blob:
        check_key(key)
        with self._errors(key):
            result = obstore.get(self._reads, key)
            if result.meta["size"] > MANIFEST_BYTES_MAX:
                raise TooBig(f"{key}: too large to be read in one piece")
            return Blob(bytes(result.bytes()), self._version(key, result.meta))

    def create(self, key: str, body: bytes) -> str:
        check_key(key)
        with self._errors(key):
            return self._put_once(key, body, "create")

    def replace(self, key: str, body: bytes, version: str) -> str:
        check_key(key)
        with self._errors(key, replacing=True):
            return self._put_once(key, body, self._dialect.over(version))

    def _put_once(self, key: str, body: bytes | memoryview, mode: Any) -> str:
        return self._version(key, obstore.put(self._once, key, body, mode=mode, use_multipart=False))

    def put(self, key: str, body: bytes) -> None:
        check_key(key)
        with self._errors(key):
            obstore.put(self._once, key, body, use_multipart=False)

    def upload(self, key: str, source: Source, wrote: Callable[[int], None]) -> None:
        check_key(key)
        if source.size > SMALL_BYTES:
            send_parts(self._parts, key, source, wrote, self._errors)
        else:
            self._upload_small(key, source)
        wrote(source.size)

    def _upload_small(self, key: str, source: Source) -> None:
        body = source.read(0, source.size) if source.size else b""
        try:
            with self._errors(key):
                self._put_once(key, body, "create")
        except Exists:
            # The key is used by one content only, so this is an earlier try whose reply was lost.
            if self.get(key).body != body:
                raise

    def stream(self, key: str, offset: int, length: int) -> Iterator[bytes | memoryview]:
        check_key(key)
        received = self._receiver.open(key, offset, length) if self._receiver else None
        if received is not None:
            yield from received
            return
        with self._errors(key):
            yield from fetch_range(self._reads, key, offset, length)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        folder, _, _ = prefix.rpartition("/")
        found: list[ObjectInfo] = []
        with self._errors(prefix):
            for batch in obstore.list(self._reads, folder or None, chunk_size=LIST_CHUNK):
                found += [ObjectInfo(o["path"], o["size"], o["e_tag"] or "") for o in batch]
        # obstore matches whole segments only, and not every store lists in key order.
        for info in sorted(found, key=lambda info: info.key.encode()):
            if info.key.startswith(prefix):
                yield info

    def delete(self, key: str) -> None:
        check_key(key)
        with suppress(Missing), self._errors(key):
            url = self._urls(key) if self._urls is not None else None
            if url is None:
                obstore.delete(self._reads, key)
            elif answer := delete_at(url):
                raise meaning(self._dialect, key, answer)

    def _signed(self, key: str) -> str | None:
        if self._urls is not None:
            with suppress(NoKeys):
                return self._urls(key)
            return None
        try:
            return obstore.sign(self._reads, "GET", key, timedelta(seconds=SIGNED_FOR_S))
        except BaseError:  # no credentials, say: the read itself will tell
            return None

    # what only a check of the bucket asks for

    def signed_url(self, method: HTTP_METHOD, key: str) -> str:
        """A URL with which anybody may do this for a minute. Raises Denied when these keys can't sign."""
        check_key(key)
        try:
            return obstore.sign(self._once, method, key, timedelta(seconds=SIGNED_FOR_S))
        except BaseError as error:
            raise Denied(f"{key}: these credentials can't sign a URL ({short(str(error))})") from error

    def keeps_versions(self, key: str) -> bool:
        """Whether a version that was overwritten can still be read. Writes `key`, and leaves it there."""
        check_key(key)
        with self._errors(key):
            first = obstore.put(self._once, key, b"first", use_multipart=False)["version"]
            obstore.put(self._once, key, b"second", use_multipart=False)
            if not first:
                return False
            try:
                found = obstore.get(self._reads, key, options={"version": first})
            except FileNotFoundError:
                return False
            return bytes(found.bytes()) == b"first"

    @contextmanager
    def _errors(self, key: str, *, replacing: bool = False) -> Iterator[None]:
        try:
            yield
        except NoKeys as error:
            raise meaning(self._dialect, key, Answer(told_of(error), "other")) from error
        except (BaseError, FileNotFoundError) as error:
            raise meaning(self._dialect, key, Answer(str(error), _kind(error), replacing)) from error

    def _version(self, key: str, found: Any) -> str:
        version = self._dialect.version(found)
        if not version:
            raise Denied(f"{key}: the store gives no version (ETag), so no write is safe; use another store")
        return version


def _kind(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "missing"
    if isinstance(error, AlreadyExistsError):
        return "exists"
    if isinstance(error, PreconditionError):
        return "conflict"
    return "denied" if isinstance(error, (PermissionDeniedError, UnauthenticatedError)) else "other"
