"""Opens a bucket by its URL, and narrows a bucket to one prefix."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from urllib.parse import unquote

from outlast.bucket import blobs, gcs, s3
from outlast.bucket.address import Address, read_address, shown, split
from outlast.bucket.credentials import Keys
from outlast.bucket.folder import FolderBucket
from outlast.bucket.keys import TooBig, check_key
from outlast.ports import Blob, Bucket, Denied, ObjectInfo, Source

__all__ = ["TooBig", "check_key", "check_url", "narrowed", "open_bucket", "scoped"]

_Opener = Callable[[Address, Mapping[str, str], "Keys | None"], Bucket]
_OTHER_NAMES = {"azure": "az", "abfs": "az", "abfss": "az", "gcs": "gs", "s3a": "s3"}
_KINDS = f"{s3.EXAMPLE}, {gcs.EXAMPLE}, {blobs.EXAMPLE} or file:///absolute/path"


def open_bucket(
    url: str, prefix: str = "", options: Mapping[str, str] = MappingProxyType({}), keys: Keys | None = None
) -> Bucket:
    """The bucket at `url`, seen from `prefix`. Nothing is asked of it yet.

    `file:///abs/path` or an absolute path; `s3://bucket/prefix`, `gs://bucket/prefix`,
    `az://container/prefix?account=NAME` (or as `https://NAME.blob.core.windows.net/container/prefix`),
    each with settings in its query (configs/controller.yaml lists them). `options` are secrets, which
    don't belong into a URL, under the names that obstore gives them; without any, those of the
    environment and of the machine are used. `keys` is asked for them again and again instead: they run
    out. Raises ValueError when the URL is not one, or a setting can't be.
    """
    folder = _folder(url)
    if folder:
        return narrowed(FolderBucket(folder), prefix)
    address, opener = _address(url, split(url).scheme)
    return narrowed(opener(address, options, keys), address.below(prefix))


def check_url(url: str) -> None:
    """Raises ValueError when no bucket can have this URL; what only its own settings show is left out."""
    if not _folder(url):
        _address(url, split(url).scheme)


def _folder(url: str) -> str:
    """The path, when a folder is meant. Raises ValueError."""
    if url.startswith("/"):
        return url
    parts = split(url)
    if parts.scheme != "file":
        return ""
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or not path.startswith("/") or parts.query:
        raise ValueError(f"{url!r}: write a folder as file:///absolute/path")
    return path


def _address(url: str, scheme: str) -> tuple[Address, _Opener]:
    if scheme == "s3":
        return read_address(url, s3.QUERY_KEYS, s3.EXAMPLE), s3.open_s3
    if scheme == "gs":
        return read_address(url, gcs.QUERY_KEYS, gcs.EXAMPLE), gcs.open_gcs
    if scheme == "az":
        return read_address(url, blobs.QUERY_KEYS, blobs.EXAMPLE), blobs.open_blobs
    if scheme in ("http", "https"):
        return blobs.web_address(url), blobs.open_blobs
    hint = f"write it as {_OTHER_NAMES[scheme]}://" if scheme in _OTHER_NAMES else f"write {_KINDS}"
    raise ValueError(f"{shown(url)!r} is not a bucket: {hint}")


def narrowed(bucket: Bucket, prefix: str) -> Bucket:
    """The same bucket seen from `prefix`, if there is one. Raises ValueError for one that no key may have."""
    try:
        return scoped(bucket, prefix) if prefix.strip("/") else bucket
    except Denied as error:
        raise ValueError(str(error)) from error


def beneath(bucket: Bucket) -> tuple[Bucket, str]:
    """The whole bucket that this one is seen in, and the prefix: "" or with a slash at its end."""
    if not isinstance(bucket, ScopedBucket):
        return bucket, ""
    whole, above = beneath(bucket.whole)
    return whole, above + bucket.prefix


def scoped(bucket: Bucket, prefix: str) -> Bucket:
    """The same bucket, seen from `prefix`: its keys are relative to it. Raises Denied for a bad prefix."""
    folder = prefix.strip("/")
    check_key(folder)
    return ScopedBucket(bucket, folder + "/")


class ScopedBucket:
    """A bucket seen from a prefix."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self.whole = bucket
        self.prefix = prefix

    def _key(self, key: str) -> str:
        # Checked before the prefix is put in front: "../other-job" must not become a valid key.
        check_key(key)
        return self.prefix + key

    def get(self, key: str) -> Blob:
        return self.whole.get(self._key(key))

    def create(self, key: str, body: bytes) -> str:
        return self.whole.create(self._key(key), body)

    def replace(self, key: str, body: bytes, version: str) -> str:
        return self.whole.replace(self._key(key), body, version)

    def put(self, key: str, body: bytes) -> None:
        self.whole.put(self._key(key), body)

    def upload(self, key: str, source: Source, wrote: Callable[[int], None]) -> None:
        self.whole.upload(self._key(key), source, wrote)

    def stream(self, key: str, offset: int, length: int) -> Iterator[bytes | memoryview]:
        return self.whole.stream(self._key(key), offset, length)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        if prefix:
            check_key(prefix.rstrip("/") if prefix.rstrip("/") else prefix)
        for info in self.whole.list(self.prefix + prefix):
            yield replace(info, key=info.key[len(self.prefix) :])

    def delete(self, key: str) -> None:
        self.whole.delete(self._key(key))
