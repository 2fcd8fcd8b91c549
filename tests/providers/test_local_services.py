"""What an instance of the local cloud offers: metadata, the relay, commands, the agent's start."""

from __future__ import annotations

import http.client
import json
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.providers.local_api import EchoApi, receive
from tests.providers.local_kit import (
    launched,
    local_cloud,
    provider_of,
    record_of,
    request_of,
    run_on,
    wait_until,
)

from outlast_orchestrator.controller.clock import SystemClock
from outlast_orchestrator.core.errors import ProviderError, Transient
from outlast_orchestrator.core.ports import AgentConfig
from outlast_orchestrator.core.types import Want
from outlast_orchestrator.providers.local.client import CallRefused
from outlast_orchestrator.providers.local.control import CloudControl
from outlast_orchestrator.providers.local.remote import LocalRemote

TOKEN_PATH = "/latest/api/token"
ACTION = "/latest/meta-data/spot/instance-action"
TERMINATION = "/latest/meta-data/spot/termination-time"
REBALANCE = "/latest/meta-data/events/recommendations/rebalance"


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[CloudControl]:
    with local_cloud(tmp_path) as control:
        yield control


def ask(port: int, method: str, path: str, timeout_s: float = 10.0, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


class Imds:
    def __init__(self, port: int) -> None:
        self.port = port
        status, self.token = ask(port, "PUT", TOKEN_PATH, X_aws_ec2_metadata_token_ttl_seconds="60")
        assert status == 200

    def get(self, path: str) -> tuple[int, str]:
        return ask(self.port, "GET", path, X_aws_ec2_metadata_token=self.token)


def test_the_metadata_service_is_version_2(cloud: CloudControl) -> None:
    instance = launched(cloud)
    port = cloud.instance(instance)["metadata_port"]
    assert ask(port, "GET", ACTION)[0] == 401
    assert ask(port, "GET", ACTION, X_aws_ec2_metadata_token="wrong")[0] == 401
    assert ask(port, "PUT", TOKEN_PATH)[0] == 400
    assert ask(port, "PUT", TOKEN_PATH, X_aws_ec2_metadata_token_ttl_seconds="21601")[0] == 400
    imds = Imds(port)
    for path in (ACTION, TERMINATION, REBALANCE, "/latest/meta-data/nonsense"):
        assert imds.get(path)[0] == 404
    assert imds.get("/latest/meta-data/instance-life-cycle") == (200, "spot")
    assert imds.get("/latest/meta-data/placement/region") == (200, "here")
    assert imds.get("/latest/meta-data/placement/availability-zone") == (200, "here-a")
    assert imds.get("/latest/meta-data/events/maintenance/scheduled") == (200, "[]")
    document = json.loads(imds.get("/latest/dynamic/instance-identity/document")[1])
    assert document["instanceId"] == instance
    assert document["availabilityZone"] == "here-a"
    environment = run_on(cloud, instance, "echo $AWS_EC2_METADATA_SERVICE_ENDPOINT")["stdout"].strip()
    assert environment == f"http://127.0.0.1:{port}"


def test_a_notice_shows_everywhere_and_can_be_withdrawn(cloud: CloudControl) -> None:
    instance = launched(cloud)
    imds = Imds(cloud.instance(instance)["metadata_port"])
    cloud.interrupt(instance, notice_s=600.0)
    status, body = imds.get(ACTION)
    assert status == 200
    action = json.loads(body)
    assert set(action) == {"action", "time"}
    assert action["action"] == "terminate"
    assert imds.get(TERMINATION) == (200, action["time"])
    [seen] = provider_of(cloud).instances("here").instances
    assert seen.interrupting
    cloud.withdraw(instance)
    assert imds.get(ACTION)[0] == 404
    assert not provider_of(cloud).instances("here").instances[0].interrupting


def test_a_notice_comes_when_it_is_due_and_the_death_after_it(cloud: CloudControl) -> None:
    instance = launched(cloud)
    imds = Imds(cloud.instance(instance)["metadata_port"])
    cloud.interrupt(instance, notice_s=1.0, after_s=1.0)
    assert imds.get(ACTION)[0] == 404
    wait_until("the notice", lambda: imds.get(ACTION)[0] == 200)
    assert cloud.instance(instance)["state"] == "running"
    cloud.wait_for("it dies", lambda seen: seen[0]["state"] == "ended")


def test_a_rebalance_recommendation(cloud: CloudControl) -> None:
    instance = launched(cloud)
    imds = Imds(cloud.instance(instance)["metadata_port"])
    cloud.rebalance(instance)
    status, body = imds.get(REBALANCE)
    assert (status, set(json.loads(body))) == (200, {"noticeTime"})
    assert imds.get(ACTION)[0] == 404


def test_an_unreachable_metadata_service_answers_nothing(cloud: CloudControl) -> None:
    instance = launched(cloud)
    port = cloud.instance(instance)["metadata_port"]
    imds = Imds(port)
    cloud.metadata_outage(None, instance)
    with pytest.raises(TimeoutError):
        ask(port, "GET", ACTION, timeout_s=0.5, X_aws_ec2_metadata_token=imds.token)
    cloud.clear()
    assert imds.get(ACTION)[0] == 404


@pytest.fixture
def api() -> Iterator[EchoApi]:
    made = EchoApi()
    yield made
    made.stop()


def test_the_whole_cloud_can_fall_silent_for_a_time(cloud: CloudControl, api: EchoApi) -> None:
    instance = launched(cloud)
    cloud.set_api(f"http://127.0.0.1:{api.port}")
    port = cloud.instance(instance)["relay_port"]
    with socket.create_connection(("127.0.0.1", port), timeout=20) as end:
        end.sendall(b"one")
        assert receive(end, 3) == b"one"
        cloud.silence(for_s=1.0)
        end.sendall(b"two")
        end.settimeout(0.3)
        with pytest.raises(TimeoutError):
            end.recv(1)
        end.settimeout(20)
        assert receive(end, 3) == b"two"


def test_commands_run_on_the_machine(cloud: CloudControl) -> None:
    instance = launched(cloud)
    ran = run_on(cloud, instance, "cat; echo bad >&2; exit 7", stdin="aGVsbG8=")
    assert ran == {"code": 7, "stdout": "hello", "stderr": "bad\n"}
    assert run_on(cloud, instance, "sleep 300", timeout_s=0.5)["code"] == -9
    missing = cloud.client.call("execute", instance=instance, argv=["/no/such/program"])
    assert missing["code"] == 127
    with pytest.raises(CallRefused, match="NotFound"):
        run_on(cloud, "i-none", "true")


AGENT = """
import json, os, sys, time
config = json.load(open(sys.argv[sys.argv.index("--config") + 1]))
open("starts", "a").write(config["token"] + "\\n")
if os.path.exists("crash"):
    os.remove("crash")
    sys.exit(1)
time.sleep(300)
"""


def agent_config(api_url: str, token: str = "secret") -> AgentConfig:
    return AgentConfig(
        api_url=api_url,
        token=token,
        job="job-1",
        owner="owner-1",
        instance="launch-1",
        storage="file:///nowhere",
        lease_s=600.0,
    )


def test_install_puts_the_agent_there_once(cloud: CloudControl, api: EchoApi, tmp_path: Path) -> None:
    instance = launched(cloud)
    script = tmp_path / "agent.py"
    script.write_text(AGENT)
    remote = LocalRemote(cloud.state_dir, SystemClock(), agent=(sys.executable, str(script)))
    record = record_of(request_of(provider_of(cloud).offers(Want())[0]), instance)
    config = agent_config(f"http://127.0.0.1:{api.port}/base")
    disk = cloud.state_dir / "instances" / instance / "disk"

    def starts() -> list[str]:
        return (disk / "starts").read_text().split() if (disk / "starts").exists() else []

    (disk / "crash").touch()  # the first start fails: the machine starts it again
    remote.install(record, config)
    wait_until("a crashed agent is started again", lambda: starts() == ["secret", "secret"])
    remote.install(record, config)
    assert starts() == ["secret", "secret"]
    path = disk / "outlast" / "agent.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    relay_url = f"http://127.0.0.1:{cloud.instance(instance)['relay_port']}/base"
    assert json.loads(path.read_text())["api_url"] == relay_url
    with socket.create_connection(("127.0.0.1", cloud.instance(instance)["relay_port"]), timeout=10) as end:
        end.sendall(b"word")
        assert receive(end, 4) == b"word"
    remote.install(record, agent_config(config.api_url, "another"))
    wait_until("a new token starts it anew", lambda: starts() == ["secret", "secret", "another"])


def test_install_on_a_machine_that_is_not_there_is_transient(cloud: CloudControl) -> None:
    remote = LocalRemote(cloud.state_dir, SystemClock())
    record = record_of(request_of(provider_of(cloud).offers(Want())[0]), "i-none")
    with pytest.raises(Transient):
        remote.install(record, agent_config("http://127.0.0.1:1"))


def test_a_provider_without_a_cloud_says_so_or_starts_it(tmp_path: Path) -> None:
    with local_cloud(tmp_path) as control:
        provider = provider_of(control)
        control.client.call("stop", instances=False)
        wait_until("it is gone", lambda: not (control.state_dir / "cloud.json").exists())
        assert provider.check()
        listing = provider.instances("here")
        assert "no local cloud runs in" in listing.problem
        with pytest.raises(ProviderError):
            provider.offers(Want())
        assert provider_of(control, heal=True).offers(Want())
        assert provider.check() == []
