"""Reads a bucket's URL: kind, name, prefix and settings, or one line on what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

_YES = ("1", "true", "yes")
_NO = ("0", "false", "no", "")
SECRETS = frozenset({"sig", "x-amz-signature", "x-goog-signature"})  # of a signed URL


@dataclass(frozen=True)
class Address:
    """A bucket's URL, taken apart. `query` holds settings, never secrets."""

    url: str
    bucket: str
    prefix: str
    query: Mapping[str, str]

    def below(self, path: str) -> str:
        """A path under its prefix, as the whole bucket has it."""
        return f"{self.prefix}/{path}" if self.prefix else path

    def text(self, name: str) -> str:
        return self.query.get(name, "")

    def flag(self, name: str) -> bool:
        """Raises ValueError for what is neither yes nor no."""
        value = self.text(name).lower()
        if value not in (*_YES, *_NO):
            raise ValueError(f"{self.url!r}: {name} is {value!r}: write {name}=true or leave it out")
        return value in _YES

    def endpoint(self) -> str:
        """Raises ValueError when it is no web address, or not encrypted and that is not said to be meant."""
        found = self.text("endpoint")
        if not found:
            return ""
        parts = split(found)
        if "@" in parts.netloc:
            raise ValueError(f"{shown(self.url)!r}: endpoint: keys do not belong into the URL")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{self.url!r}: endpoint is {found!r}: write it like https://host:port")
        if parts.scheme == "http" and not self.flag("allow_http"):
            raise ValueError(
                f"{self.url!r}: the endpoint is not encrypted; add allow_http=true if that is meant"
            )
        return found


def shown(url: str) -> str:
    """What may be repeated of a URL that nobody has examined: without a user, a password or settings."""
    head, slashes, rest = url.partition("?")[0].partition("://")
    place, slash, path = rest.partition("/")
    return f"{head}{slashes}{'…' if '@' in place else place}{slash}{path}"


def split(url: str) -> SplitResult:
    """Raises ValueError when it can't be taken apart, or a part of it would be lost."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError(f"{shown(url)!r} is no URL: {error}") from error
    if parts.fragment:
        raise ValueError(f"{shown(url)!r}: write a # in a name as %23")
    return parts


def read_address(url: str, known: frozenset[str], example: str) -> Address:
    """`example` shows people how such a URL looks. Raises ValueError."""
    parts = split(url)
    if not parts.netloc or "@" in parts.netloc or ":" in parts.netloc:
        raise ValueError(f"{shown(url)!r}: write {example}; keys do not belong into the URL")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if SECRETS & {name.lower() for name in query}:
        raise ValueError(f"{shown(url)!r}: a signature does not belong into the URL, where others see it")
    unknown = sorted(set(query) - known)
    if unknown:
        told = f"unknown {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        raise ValueError(f"{shown(url)!r}: {told}. Keys do not belong into the URL")
    return Address(url, parts.netloc, unquote(parts.path).strip("/"), query)
