"""Opens a bucket by its URL, and narrows a bucket to one prefix."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from urllib.parse import parse_qsl, unquote, urlsplit

from outlast.bucket.folder import FolderBucket
from outlast.bucket.keys import TooBig, check_key
from outlast.bucket.s3 import CHECKSUMS, QUERY_KEYS, S3Place, open_s3
from outlast.ports import Blob, Bucket, ObjectInfo, Source

__all__ = ["TooBig", "check_key", "open_bucket", "scoped"]

_NOT_YET = frozenset({"gs", "az", "azure", "abfs", "abfss"})


def open_bucket(url: str, prefix: str = "", options: Mapping[str, str] = MappingProxyType({})) -> Bucket:
    """The bucket at `url`, seen from `prefix`. Nothing is asked of it yet.

    `file:///abs/path` or an absolute path; `s3://bucket/prefix?endpoint=…&region=…&allow_http=true`.
    `options` are secrets that don't belong into a URL: `access_key_id`, `secret_access_key`,
    `session_token`. Raises ValueError when the URL is not one.
    """
    if url.startswith("/"):
        return _narrow(FolderBucket(url), prefix)
    parts = urlsplit(url)
    if parts.scheme == "file":
        path = unquote(parts.path)
        if parts.netloc not in ("", "localhost") or not path.startswith("/"):
            raise ValueError(f"{url!r}: write a folder as file:///absolute/path")
        return _narrow(FolderBucket(path), prefix)
    if parts.scheme == "s3":
        return _narrow(_open_s3(url, options), _joined(unquote(parts.path), prefix))
    if parts.scheme in _NOT_YET:
        raise ValueError(
            f"{url!r}: {parts.scheme}:// is not yet supported; use s3:// or file:///absolute/path"
        )
    raise ValueError(f"{url!r} is not a bucket: write s3://bucket/prefix or file:///absolute/path")


def _open_s3(url: str, options: Mapping[str, str]) -> Bucket:
    parts = urlsplit(url)
    if not parts.netloc or "@" in parts.netloc or ":" in parts.netloc:
        raise ValueError(f"{url!r}: write s3://bucket/prefix; keys do not belong into the URL")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(set(query) - QUERY_KEYS)
    if unknown:
        raise ValueError(f"{url!r}: unknown {', '.join(unknown)}; known are {', '.join(sorted(QUERY_KEYS))}")
    checksum = query.get("checksum", CHECKSUMS[0])
    if checksum not in CHECKSUMS:
        raise ValueError(f"{url!r}: checksum={checksum}: write {' or '.join(CHECKSUMS)}")
    endpoint = query.get("endpoint", "")
    allow_http = query.get("allow_http", "false").lower() in ("1", "true", "yes")
    if endpoint.startswith("http://") and not allow_http:
        raise ValueError(f"{url!r}: the endpoint is not encrypted; add allow_http=true if that is meant")
    return open_s3(
        S3Place(
            bucket=parts.netloc,
            endpoint=endpoint,
            region=query.get("region", ""),
            allow_http=allow_http,
            virtual_hosted=query.get("virtual_hosted", "false").lower() in ("1", "true", "yes"),
            checksum=checksum,
        ),
        options,
    )


def _joined(path: str, prefix: str) -> str:
    base = path.strip("/")
    return f"{base}/{prefix}" if base else prefix


def _narrow(bucket: Bucket, prefix: str) -> Bucket:
    return scoped(bucket, prefix) if prefix.strip("/") else bucket


def scoped(bucket: Bucket, prefix: str) -> Bucket:
    """The same bucket, seen from `prefix`: its keys are relative to it. Raises Denied for a bad prefix."""
    folder = prefix.strip("/")
    check_key(folder)
    return ScopedBucket(bucket, folder + "/")


class ScopedBucket:
    """A bucket seen from a prefix."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix

    def _key(self, key: str) -> str:
        # Checked before the prefix is put in front: "../other-job" must not become a valid key.
        check_key(key)
        return self._prefix + key

    def get(self, key: str) -> Blob:
        return self._bucket.get(self._key(key))

    def create(self, key: str, body: bytes) -> str:
        return self._bucket.create(self._key(key), body)

    def replace(self, key: str, body: bytes, version: str) -> str:
        return self._bucket.replace(self._key(key), body, version)

    def put(self, key: str, body: bytes) -> None:
        self._bucket.put(self._key(key), body)

    def upload(self, key: str, source: Source, wrote: Callable[[int], None]) -> None:
        self._bucket.upload(self._key(key), source, wrote)

    def stream(self, key: str, offset: int, length: int) -> Iterator[bytes]:
        return self._bucket.stream(self._key(key), offset, length)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        if prefix:
            check_key(prefix.rstrip("/") if prefix.rstrip("/") else prefix)
        for info in self._bucket.list(self._prefix + prefix):
            yield replace(info, key=info.key[len(self._prefix) :])

    def delete(self, key: str) -> None:
        self._bucket.delete(self._key(key))
