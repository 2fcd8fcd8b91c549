"""Blob Storage as those see it who have an identity or a signature for one folder: a server before Azurite.

Azurite has neither user delegation keys for folders nor roles. This one checks both, from the reference, and
hands on what it lets through: Azure itself has not been compared.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit
from xml.etree import ElementTree

import trustme
from tests.servers.azure_identity import STORAGE, TENANT, Identities
from tests.servers.azurite import ACCOUNT, CONTAINER, AzureServer, azurite

OID = "00000000-0000-0000-0000-00000000000b"
KEY_SERVICE = "b"
LIMIT_S = 60.0
# Of a signature, in the order in which they are signed. The account's answers to `rs…` are of no use here.
# https://learn.microsoft.com/rest/api/storageservices/create-user-delegation-sas
BEFORE, AFTER = ("sp", "st", "se"), ("skoid", "sktid", "skt", "ske", "sks", "skv")
REST = ("saoid", "suoid", "scid", "skdutid", "sduoid", "sip", "spr", "sv", "sr", "snapshot", "ses")
TAIL = ("srh", "srq", "rscc", "rscd", "rsce", "rscl", "rsct")
OF_A_SIGNATURE = {*BEFORE, *AFTER, *REST, *TAIL, "sig", "sdd"}
LIVES = (("st", "se"), ("skt", "ske"))  # of the signature, and of the key that it is made with
NEEDED = {"GET": "r", "HEAD": "r", "PUT": "w", "DELETE": "d"}
XML = '<?xml version="1.0" encoding="utf-8"?>'
_HOPS = {"host", "connection", "transfer-encoding", "content-length", "keep-alive"}


class Refusal(Exception):
    def __init__(self, status: int, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}")
        self.status, self.code, self.detail = status, code, detail


@dataclass
class BlobFront:
    """`careless`: checks no signature. `delegates`: gives keys to sign with. `told`: what it refused."""

    azurite: AzureServer
    identities: Identities
    ip: str
    port: int = 0
    tls_port: int = 0  # of the same: the SDK sends tokens over TLS alone
    ca_file: str = ""
    careless: bool = False
    delegates: bool = True
    told: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)  # method, path and query, without the signature

    def url(self, prefix: str = "") -> str:
        place = f"http://{self.ip}:{self.port}/{ACCOUNT}"
        return f"az://{CONTAINER}/{prefix}?account={ACCOUNT}&endpoint={place}&allow_http=true"

    @property
    def tls_url(self) -> str:
        return f"https://{self.ip}:{self.tls_port}/{ACCOUNT}"

    def authorize(self, method: str, target: str, token: str, *, tls: bool) -> str:
        """What of the target goes on to Azurite. Raises Refusal."""
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if "sig" not in query:
            if query.get("comp") == "userdelegationkey" and not self.delegates:
                raise Refusal(403, "AuthorizationPermissionMismatch")
            if not self.identities.knows(token, STORAGE):
                raise Refusal(401, "NoAuthenticationInformation")
            return target
        container, _, key = unquote(parts.path).removeprefix(f"/{ACCOUNT}/").partition("/")
        if not key:  # a list is one of what its prefix names; of anything else the folder is not known
            key = query.get("prefix", "") if query.get("comp") == "list" else ""
        needed = "l" if query.get("comp") == "list" else NEEDED.get(method, "?")
        self._check(query, container, key, needed, tls)
        rest = {name: value for name, value in query.items() if name not in OF_A_SIGNATURE}
        return f"{parts.path}?{urlencode(rest, quote_via=quote)}" if rest else parts.path

    def _check(self, query: Mapping[str, str], container: str, key: str, needed: str, tls: bool) -> None:
        said = {**dict.fromkeys((*BEFORE, *AFTER, *REST, *TAIL), ""), **query}
        if said["sr"] != "d" or not said.get("sdd", "").isdigit():
            raise Refusal(403, "AuthenticationFailed", "only signatures of folders are known here")
        segments, depth = key.strip("/").split("/") if key else [], int(said["sdd"])
        if len(segments) < depth and not self.careless:
            raise Refusal(403, "AuthenticationFailed", "Signed Directory Depth Invalid")
        folder = "/".join([container, *segments[:depth]])
        signed = [*(said[name] for name in BEFORE), f"/blob/{ACCOUNT}/{folder}"]
        signed += [said[name] for name in (*AFTER, *REST, *TAIL)]
        key_value = self.delegation_key(said["skt"], said["ske"])
        wanted = hmac.new(base64.b64decode(key_value), "\n".join(signed).encode(), hashlib.sha256).digest()
        if not self.careless and not hmac.compare_digest(base64.b64encode(wanted).decode(), query["sig"]):
            raise Refusal(403, "AuthenticationFailed", "Signature did not match")
        now = datetime.now(timezone.utc)
        if not all(_time(said[begin]) <= now <= _time(said[end]) for begin, end in LIVES):
            raise Refusal(403, "AuthenticationFailed", "Signed expiry time")
        if said["spr"] == "https" and not tls:
            raise Refusal(403, "AuthorizationProtocolMismatch")
        if needed not in said["sp"]:
            raise Refusal(403, "AuthorizationPermissionMismatch")

    def delegation_key(self, start: str, expiry: str) -> str:
        """It follows from its times alone, so nothing needs to be remembered."""
        return base64.b64encode(hashlib.sha256(f"{self.port} {start} {expiry}".encode()).digest()).decode()


def _time(text: str) -> datetime:
    """Nothing said: since ever."""
    return datetime.fromisoformat((text or "2000-01-01T00:00:00Z").replace("Z", "+00:00"))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    front: BlobFront
    tls: bool

    def handle_one(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.front.asked.append(f"{self.command} {self.path.partition('sig=')[0]}")
        try:
            token = self.headers.get("Authorization", "")
            target = self.front.authorize(self.command, self.path, token, tls=self.tls)
            if "comp=userdelegationkey" in target:
                self._answer(200, self._delegation_key(body), {"Content-Type": "application/xml"})
            else:
                self._hand_on(target, body)
        except Refusal as refusal:
            self.front.told.append(f"{self.command} {self.path.partition('?')[0]}: {refusal}")
            inside = f"<Code>{refusal.code}</Code><Message>no</Message><Detail>{refusal.detail}</Detail>"
            self._answer(
                refusal.status, f"{XML}<Error>{inside}</Error>".encode(), {"x-ms-error-code": refusal.code}
            )

    def _delegation_key(self, body: bytes) -> bytes:
        start, expiry = (node.text or "" for node in ElementTree.fromstring(body))
        found = {
            "SignedOid": OID,
            "SignedTid": TENANT,
            "SignedStart": start,
            "SignedExpiry": expiry,
            "SignedService": KEY_SERVICE,
            "SignedVersion": self.headers["x-ms-version"],
            "Value": self.front.delegation_key(start, expiry),
        }
        inside = "".join(f"<{name}>{value}</{name}>" for name, value in found.items())
        return (
            f'<?xml version="1.0" encoding="utf-8"?><UserDelegationKey>{inside}</UserDelegationKey>'.encode()
        )

    def _hand_on(self, target: str, body: bytes) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOPS}
        headers["Authorization"] = f"Bearer {self.front.identities.token(STORAGE)}"
        behind = http.client.HTTPSConnection(
            "127.0.0.1", self.front.azurite.port, timeout=LIMIT_S, context=self.front.azurite.tls
        )
        try:
            behind.request(self.command, target, body, headers)
            found = behind.getresponse()
            sent = found.read()
            kept = {name: value for name, value in found.getheaders() if name.lower() not in _HOPS}
            length = found.getheader("Content-Length") if self.command == "HEAD" else None
            self._answer(found.status, sent, kept, length)
        finally:
            behind.close()

    def _answer(
        self, status: int, body: bytes, headers: Mapping[str, str], length: str | None = None
    ) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_DELETE = do_HEAD = do_POST = handle_one

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class says so
        return


class _Server(ThreadingHTTPServer):
    request_queue_size = 64
    daemon_threads = True


@contextmanager
def blob_front(folder: Path, ip: str = "127.0.0.1") -> Iterator[BlobFront]:
    """`folder` must be there. Whoever has identities sets where they are asked for."""
    authority = trustme.CA()
    with ExitStack() as stack:
        behind = stack.enter_context(azurite(folder, authority))
        front = BlobFront(behind, Identities(), ip, ca_file=str(folder / "blob-authority.pem"))
        authority.cert_pem.write_to_path(front.ca_file)
        plain = _listen(stack, front, tls=False)
        encrypted = _listen(stack, front, tls=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(ip).configure_cert(context)
        encrypted.socket = context.wrap_socket(encrypted.socket, server_side=True)
        front.port, front.tls_port = plain.server_port, encrypted.server_port
        for server in (plain, encrypted):
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            stack.callback(server.shutdown)
        yield front


def _listen(stack: ExitStack, front: BlobFront, *, tls: bool) -> _Server:
    server = _Server((front.ip, 0), type("Bound", (_Handler,), {"front": front, "tls": tls}))
    stack.callback(server.server_close)
    return server
