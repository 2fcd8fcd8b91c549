"""Finds the server and talks to it; what goes wrong on the way becomes one line."""

from __future__ import annotations

import getpass
import ipaddress
import json
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from outlast_orchestrator.cli.exits import NoServer, Refused
from outlast_orchestrator.cli.remote import read_remote
from outlast_orchestrator.core.errors import UserError

TIMEOUT_S = 30.0
UPLOAD_TIMEOUT_S = 600.0
START = "start one with `outlast server start -d`"
Params = Mapping[str, "str | int | float"]


def home() -> Path:
    return Path(os.environ.get("OUTLAST_HOME") or "~/.outlast").expanduser()


@dataclass(frozen=True)
class Server:
    url: str
    token: str
    ca_file: str = ""
    pid: int = 0


@dataclass(frozen=True)
class Answer:
    body: bytes
    headers: Mapping[str, str]


def discover() -> Server:
    """From $OUTLAST_URL and $OUTLAST_TOKEN, else by `outlast login`, else from the home folder.

    Raises NoServer, UserError.
    """
    url, token = os.environ.get("OUTLAST_URL", ""), os.environ.get("OUTLAST_TOKEN", "")
    ca_file = os.environ.get("OUTLAST_CA_FILE", "")
    if url:
        check_url(url, "OUTLAST_URL")
        return Server(url.rstrip("/"), token or _token(home()), ca_file)
    remote = read_remote(home())
    if remote is not None:
        return Server(remote["url"], token or remote["token"], ca_file or remote["ca_file"])
    found = read_server_file(home())
    if found is None:
        raise NoServer(f"no Outlast server is running here ({home()}): {START}")
    return Server(found["url"].rstrip("/"), token or _token(home()), ca_file, found["pid"])


def check_url(url: str, name: str) -> None:
    """`name`: where it is written. A token goes there: nobody may read it on the way. Raises UserError."""
    try:
        parts, found = urlsplit(url), httpx.URL(url)
        if "@" in parts.netloc:
            raise UserError(
                f"{name} has a user or a password in it: leave them out; set OUTLAST_TOKEN, or log in"
            )
        if parts.scheme not in ("http", "https") or not found.host.encode("idna"):
            raise UserError(f"{name} is {url!r}: write it like https://host:port")
    except (ValueError, httpx.InvalidURL) as error:  # UnicodeError, too
        raise UserError(f"{name} is {url!r}: write it like https://host:port ({error})") from error
    if parts.scheme == "http" and not _is_here(url):
        raise UserError(
            f"{name} is {url!r}: without TLS the token could be read on the way; write https://, "
            "or lead a tunnel to it on 127.0.0.1"
        )


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_server_file(folder: Path) -> dict[str, Any] | None:
    """What the running server wrote about itself; None when there is none. Raises UserError."""
    path = folder / "server.json"
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged: delete it, then {START}") from error
    if not isinstance(value, dict) or (type(value.get("url")), type(value.get("pid"))) != (str, int):
        raise UserError(f"{path} is damaged: delete it, then {START}")
    return value


def _token(folder: Path) -> str:
    path = folder / "token"
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError as error:
        raise UserError(
            f"{path} can't be read ({error.strerror}): set OUTLAST_TOKEN to an admin token"
        ) from error


def _check_token(token: str) -> None:
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise UserError("the token is empty or garbled: look at OUTLAST_TOKEN, or at the file `token`")


def who() -> str:
    """For the event log: who wished for it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def job_path(name: str, *rest: str) -> str:
    if not name or name in (".", "..") or "/" in name:
        raise UserError(f"{name!r} is no job: `outlast ps` lists them all")
    return "/".join(["/v1/jobs", quote(name, safe=""), *rest])


def _trusted(server: Server) -> ssl.SSLContext | bool:
    """Raises UserError."""
    if server.ca_file:
        try:
            return ssl.create_default_context(cafile=server.ca_file)
        except OSError as error:
            raise UserError(f"OUTLAST_CA_FILE {server.ca_file} can't be used: {error}") from error
    if server.url.startswith("http://"):  # reading all the world's authorities takes longer than the call
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody, and is not asked
    return True


class Client:
    """One server. Every method raises NoServer, Refused (it will not) or UserError (you asked wrongly)."""

    def __init__(self, server: Server) -> None:
        _check_token(server.token)
        self._server = server
        self._http = httpx.Client(
            base_url=server.url,
            headers={"Authorization": f"Bearer {server.token}"},
            timeout=TIMEOUT_S,
            verify=_trusted(server),
            trust_env=not _is_here(server.url),  # a proxy has no way to this machine's own loopback
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, params: Params | None = None) -> dict[str, Any]:
        return self._json(self._send("GET", path, params=params))

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._json(self._send("POST", path, json_body=body))

    def put(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._json(self._send("PUT", path, json_body=body))

    def delete(self, path: str) -> dict[str, Any]:
        return self._json(self._send("DELETE", path))

    def upload(self, path: str, body: bytes) -> dict[str, Any]:
        return self._json(self._send("PUT", path, content=body))

    def fetch(self, path: str, params: Params | None = None) -> Answer:
        response = self._send("GET", path, params=params)
        return Answer(response.content, response.headers)

    def stream(self, path: str) -> Iterator[bytes]:
        try:
            with self._http.stream("GET", path) as response:
                if response.status_code != 200:
                    response.read()
                    self._check(response)
                yield from response.iter_bytes()
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        json_body: Mapping[str, Any] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        extra = UPLOAD_TIMEOUT_S if content is not None else float((params or {}).get("wait", 0))
        try:
            response = self._http.request(
                method, path, params=params, json=json_body, content=content, timeout=TIMEOUT_S + extra
            )
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        self._check(response)
        return response

    def _unreachable(self, error: httpx.HTTPError) -> NoServer:
        if isinstance(error, httpx.TimeoutException):
            return NoServer(f"the server at {self._server.url} does not answer in time; is it overloaded?")
        if isinstance(error, (httpx.ReadError, httpx.RemoteProtocolError)):
            return NoServer(f"the server at {self._server.url} broke off: see its log, then try again")
        hint = "check OUTLAST_URL" if os.environ.get("OUTLAST_URL") else START
        return NoServer(f"no Outlast server answers at {self._server.url} ({error}): {hint}")

    def _check(self, response: httpx.Response) -> None:
        if response.is_success:
            return
        message = self._error(response)
        if response.status_code in (401, 403):
            raise Refused(f"{self._server.url} does not take this token: {message}")
        if response.status_code < 500:
            raise UserError(message)
        raise Refused(f"the server could not do it: {message}")

    def _error(self, response: httpx.Response) -> str:
        try:
            value = response.json()
        except ValueError:
            value = None
        if isinstance(value, dict) and isinstance(value.get("error"), str):
            return str(value["error"])
        return f"HTTP status {response.status_code}; is {self._server.url} an Outlast server?"

    def _json(self, response: httpx.Response) -> dict[str, Any]:
        try:
            value = response.json()
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise Refused(f"{self._server.url} does not answer like an Outlast server: check the address")
        return value


def connect() -> Client:
    return Client(discover())
