"""EC2 over a real socket: moto's, with a layer before it for what moto lacks.

moto keeps machines, templates, requests and tags. The layer adds capacity by pool, tokens, unknown types,
throttling, lost rights, regions that are down, replies that are lost, and a market that takes machines.
"""

from __future__ import annotations

import functools
import io
import logging
import re
import socket
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

import boto3  # type: ignore[import-untyped]
from tests.servers.ec2_fleet import MARKET, empty_fleet, pools_of, refusal, with_one_pool
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from outlast_orchestrator.controller.clock import SystemClock
from outlast_orchestrator.providers.aws.config import AwsConfig, Region
from outlast_orchestrator.providers.aws.provider import AwsProvider

ACCOUNT = "123456789012"
ROLE = "outlast-node"
KEYS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
_REGION = re.compile(r"Credential=[^/]+/\d+/([^/]+)/")


@functools.cache
def moto_app() -> Any:
    from moto.server import DomainDispatcherApplication, create_backend_app  # type: ignore[attr-defined]

    return DomainDispatcherApplication(create_backend_app)


@functools.cache
def session() -> Any:
    """One for all tests of a process: EC2's description takes seconds to read."""
    return boto3.session.Session(**KEYS)


@dataclass
class Trouble:
    """What is wrong at the moment; an empty one is a healthy cloud."""

    dry: dict[tuple[str, str, str], str] = field(default_factory=dict)  # (zone, type, market) → code
    regions: set[str] = field(default_factory=set)
    refusal: tuple[int, str, str] | None = None  # status, code, message, to every call
    lose_replies: int = 0  # so many launches take place, and nobody is told


class Ec2:
    """One server for a test. Its machines are moto's, and those of other tests are among them: each test is
    another owner."""

    def __init__(self) -> None:
        self.owner = f"owner-{uuid.uuid4().hex[:8]}"
        self.trouble = Trouble()
        self.calls: list[tuple[str, str]] = []  # action and region
        self.asked_for: list[list[tuple[str, str]]] = []  # by each fleet: zones and types
        self.clock = SystemClock()
        self.session = session()
        self._moto = moto_app()
        self._answers: dict[tuple[str, str], tuple[bytes, Response]] = {}
        self._lock = threading.Lock()
        self.url = ""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = Request(environ).get_data(cache=True)
        found = _REGION.search(environ.get("HTTP_AUTHORIZATION", ""))
        region = found[1] if found else ""
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True))
        action = fields.get("Action", "")
        self.calls.append((action, region))
        answer = self._refusal(region)
        if answer is None and action == "CreateFleet":
            with self._lock:
                answer = self._fleet(environ, body, fields, region)
            if self.trouble.lose_replies:
                self.trouble.lose_replies -= 1
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        return (answer or self._pass_on(environ, body))(environ, start_response)

    def config(self, *regions: str) -> AwsConfig:
        """Two zones of each region's default network."""
        return AwsConfig({name: _region(name) for name in regions}, endpoint_url=self.url)

    def provider(self, *regions: str) -> AwsProvider:
        return AwsProvider(self.config(*regions), self.clock, self.owner, self.session)

    def client(self, region: str) -> Any:
        return self.session.client("ec2", region_name=region, endpoint_url=self.url)

    def notice(self, instance: str, region: str) -> None:
        """The market announces that it will take a machine: its request says so from then on."""
        from moto.ec2.models import ec2_backends

        for request in ec2_backends[ACCOUNT][region].spot_instance_requests.values():
            if request.instance.id == instance:
                request._status_code = "marked-for-termination"

    def take(self, instance: str, region: str) -> None:
        """The market takes a machine."""
        _end(instance, region, "Server.SpotInstanceTermination", "Instance was terminated by the market")

    def take_without_reason(self, instance: str, region: str) -> None:
        """Only its request says that it was the market."""
        from moto.ec2.models import ec2_backends

        _end(instance, region, "Server.Unheard-of", "")
        for request in ec2_backends[ACCOUNT][region].spot_instance_requests.values():
            if request.instance.id == instance:
                request._status_code = "instance-terminated-no-capacity"

    def shut_down(self, instance: str, region: str) -> None:
        """A machine's operating system switched it off."""
        _end(instance, region, "Client.InstanceInitiatedShutdown", "Instance initiated shutdown")

    def forget_ended(self, region: str) -> None:
        from moto.ec2.models import ec2_backends

        for reservation in ec2_backends[ACCOUNT][region].reservations.values():
            reservation.instances = [one for one in reservation.instances if one.state != "terminated"]

    def _refusal(self, region: str) -> Response | None:
        if region in self.trouble.regions:
            return _error(503, "Unavailable", "The service is unavailable. Please try again shortly.")
        return None if self.trouble.refusal is None else _error(*self.trouble.refusal)

    def _fleet(self, environ: dict[str, Any], body: bytes, fields: dict[str, str], region: str) -> Response:
        token = (region, fields["ClientToken"])
        if token in self._answers:
            known, answer = self._answers[token]
            words = "Arguments on this idempotent request are inconsistent with arguments used in previous"
            return answer if known == body else _error(400, "IdempotentParameterMismatch", words)
        pools = pools_of(fields)
        refused = [refusal(pool, fields[MARKET], self.trouble.dry) for pool in pools]
        self.asked_for.append([(pool["AvailabilityZone"], pool["InstanceType"]) for pool in pools])
        free = [pool for pool, why in zip(pools, refused, strict=True) if why is None]
        if free:
            answer = self._pass_on(environ, urlencode(with_one_pool(fields, free[0])).encode())
        else:
            answer = empty_fleet([why for why in refused if why is not None])
        if answer.status_code == 200:
            self._answers[token] = (body, answer)
        return answer

    def _pass_on(self, environ: dict[str, Any], body: bytes) -> Response:
        request = Request(environ)
        return Response.from_app(self._moto, _again(request, body), buffered=True)


def _end(instance: str, region: str, code: str, words: str) -> None:
    from moto.ec2.models import ec2_backends
    from moto.ec2.models.instances import StateReason

    backend = ec2_backends[ACCOUNT][region]
    machine = backend.get_instance(instance)
    backend.terminate_instances([instance])
    machine.state_reason = StateReason(f"{code}: {words}", code)


@functools.cache
def _region(name: str) -> Region:
    from moto.ec2.models import ec2_backends

    backend = ec2_backends[ACCOUNT][name]
    subnets = {zone: subnet.id for zone, subnet in sorted(backend.get_default_subnets().items())[:2]}
    groups = tuple(group.id for group in backend.describe_security_groups())
    return Region(subnets, groups, instance_profile=ROLE)


def _again(request: Request, body: bytes) -> dict[str, Any]:
    return {**request.environ, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}


def _error(status: int, code: str, message: str) -> Response:
    text = (
        f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
        "<RequestID>r</RequestID></Response>"
    )
    return Response(text, status, content_type="text/xml")


@contextmanager
def ec2() -> Iterator[Ec2]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for every request otherwise
    app = Ec2()
    server = make_server("127.0.0.1", 0, app, threaded=True)
    app.url = f"http://127.0.0.1:{server.port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield app
    finally:
        server.shutdown()
        server.server_close()
