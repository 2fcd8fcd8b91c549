"""Receives ranges of big objects over signed URLs into one small buffer, at less CPU than obstore."""

from __future__ import annotations

import http.client
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from urllib.parse import SplitResult, urlsplit

from outlast.ports import Unsure

RANGE_BYTES_MIN = 4 << 20  # below it a connection of its own costs more than it saves
BUFFER_BYTES = 1 << 20  # stays in the processor's cache while it is hashed and written
CONNECT_LIMIT_S = 5.0
STALL_S = 10.0  # a connection that died silently must not hold the restore up for long

Sign = Callable[[str], str | None]  # key → a URL that anybody may GET for a minute; None: can't

_BROKEN = (OSError, http.client.HTTPException)


class Receiver:
    """Reads through the standard library's client: it fills a buffer of ours, where obstore makes a new one
    for every piece that arrives (measured: tests/bench, `restores`).

    It only ever helps: whatever is not the plain answer to a range (a refusal, a redirect, a proxy in
    between) is left to obstore, which repeats it and says what is wrong. Its URLs are secrets, and appear in
    no error.
    """

    def __init__(self, sign: Sign) -> None:
        self._sign = sign

    def open(self, key: str, offset: int, length: int) -> Iterator[memoryview] | None:
        """The bytes as they arrive, each chunk good until the next is asked for; or None: ask obstore.

        The iterator raises Unsure when the stream breaks.
        """
        signed = self._sign(key) if length >= RANGE_BYTES_MIN else None
        url = urlsplit(signed or "")
        if not signed or _goes_through_a_proxy(url):
            return None
        connection = self._connect(url)
        with suppress(*_BROKEN):
            response = _ask(connection, url, offset, length)
            if response.status == http.HTTPStatus.PARTIAL_CONTENT and response.length == length:
                return _chunks(connection, response, key, length)
        connection.close()
        return None

    def _connect(self, url: SplitResult) -> http.client.HTTPConnection:
        host, port = url.hostname or "", url.port
        if url.scheme == "https":
            context = self._context
            return http.client.HTTPSConnection(host, port, timeout=CONNECT_LIMIT_S, context=context)
        return http.client.HTTPConnection(host, port, timeout=CONNECT_LIMIT_S)

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context()


def _ask(
    connection: http.client.HTTPConnection, url: SplitResult, offset: int, length: int
) -> http.client.HTTPResponse:
    connection.connect()
    connection.sock.settimeout(STALL_S)
    connection.putrequest("GET", f"{url.path}?{url.query}", skip_accept_encoding=True)
    connection.putheader("Range", f"bytes={offset}-{offset + length - 1}")
    connection.endheaders()
    return connection.getresponse()


def _chunks(
    connection: http.client.HTTPConnection, response: http.client.HTTPResponse, key: str, length: int
) -> Iterator[memoryview]:
    buffer, done = memoryview(bytearray(BUFFER_BYTES)), 0
    try:
        while done < length:
            try:
                received = response.readinto(buffer[: min(BUFFER_BYTES, length - done)])
            except _BROKEN as error:
                raise Unsure(f"{key}: the stream broke ({type(error).__name__})") from None
            if not received:
                raise Unsure(f"{key}: the stream ended after {done} of {length} bytes")
            done += received
            yield buffer[:received]
    finally:
        response.close()
        connection.close()


def _goes_through_a_proxy(url: SplitResult) -> bool:
    return url.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(url.hostname or "")
