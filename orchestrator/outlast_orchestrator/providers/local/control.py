"""Starts, finds, steers and stops a local cloud: what the demo, the tests and the server use."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from outlast.protocol.codec import from_json, to_json
from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.providers.local import clock
from outlast_orchestrator.providers.local.client import CallRefused, Client, Unreachable
from outlast_orchestrator.providers.local.config import CloudConfig

START_LIMIT_S = 30.0
LOOK_EVERY_S = 0.05
_MODULE = "outlast_orchestrator.providers.local.cloud"
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ")  # no secret of the caller reaches the cloud


class CloudControl:
    """One living cloud. `instance` is the cloud's id, or "newest" or "oldest" of those that live."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.client = Client(state_dir)

    def pid(self) -> int:
        return int(self.client.call("ping")["pid"])

    def instances(self, owner: str = "", region: str = "") -> list[dict[str, Any]]:
        """Of all regions unless one is named; ended ones too, as long as they are listed."""
        regions = [region] if region else sorted(self.config().zones)
        return [seen for name in regions for seen in self.client.call("instances", region=name, owner=owner)]

    def instance(self, instance: str) -> dict[str, Any]:
        """Raises KeyError when it is not listed."""
        return {seen["id"]: seen for seen in self.instances()}[instance]

    def wait_for(
        self, what: str, test: Callable[[list[dict[str, Any]]], bool], limit_s: float = 30.0
    ) -> list[dict[str, Any]]:
        """Waits until the listing satisfies the test; returns that listing. Raises TimeoutError."""
        deadline_s = clock.monotonic_s() + limit_s
        while True:
            seen = self.instances()
            if test(seen):
                return seen
            if clock.monotonic_s() > deadline_s:
                states = {one["id"]: one["state"] for one in seen}
                raise TimeoutError(f"not within {limit_s:.0f} s: {what}; instances: {states}")
            clock.sleep(LOOK_EVERY_S)

    def config(self) -> CloudConfig:
        return from_json(CloudConfig, self.client.call("config"))

    def configure(self, **changes: Any) -> None:
        """Replaces fields of the stored CloudConfig."""
        self.client.call("configure", config=to_json(replace(self.config(), **changes)))

    def set_api(self, url: str, owner: str = "") -> None:
        """The API of that owner's controller is there now: relays lead new connections to it."""
        self.client.call("set_api", address=address_of(url), owner=owner)

    def console(self, instance: str) -> str:
        return str(self.client.call("console", instance=instance))

    # faults; see `injection.Injection` for what each does

    def interrupt(
        self,
        instance: str,
        notice_s: float | None = None,
        *,
        notice: bool = True,
        after_s: float = 0.0,
        silent: bool = False,
    ) -> None:
        self.client.call(
            "interrupt", instance=instance, notice_s=notice_s, notice=notice, after_s=after_s, silent=silent
        )

    def withdraw(self, instance: str) -> None:
        self.client.call("withdraw", instance=instance)

    def rebalance(self, instance: str) -> None:
        self.client.call("rebalance", instance=instance)

    def crash(self, instance: str, *, silent: bool = False) -> None:
        self.client.call("crash", instance=instance, silent=silent)

    def freeze(self, instance: str) -> None:
        self.client.call("freeze", instance=instance)

    def thaw(self, instance: str) -> None:
        self.client.call("thaw", instance=instance)

    def silence(self, instance: str = "", for_s: float | None = None) -> None:
        self.client.call("silence", instance=instance, for_s=for_s)

    def speak(self, instance: str = "") -> None:
        self.client.call("speak", instance=instance)

    def cut(self, instance: str) -> None:
        self.client.call("cut", instance=instance)

    def refuse(
        self,
        for_s: float | None,
        *,
        zone: str = "",
        instance_type: str = "",
        market: str = "",
        code: str = "InsufficientInstanceCapacity",
    ) -> None:
        self.client.call(
            "refuse", for_s=for_s, zone=zone, instance_type=instance_type, market=market, code=code
        )

    def fail_listing(self, region: str, for_s: float | None) -> None:
        self.client.call("fail_listing", region=region, for_s=for_s)

    def lag_listing(self, lag_s: float) -> None:
        self.client.call("lag_listing", lag_s=lag_s)

    def throttle(self, for_s: float | None, op: str = "") -> None:
        self.client.call("throttle", for_s=for_s, op=op)

    def lose_reply(self, op: str = "launch", times: int = 1) -> None:
        self.client.call("lose_reply", op=op, times=times)

    def metadata_outage(self, for_s: float | None, instance: str = "") -> None:
        self.client.call("metadata_outage", for_s=for_s, instance=instance)

    def script(self, steps: list[dict[str, Any]]) -> None:
        self.client.call("script", steps=steps)

    def clear(self) -> None:
        self.client.call("clear")


def find_cloud(state_dir: Path) -> CloudControl | None:
    """The cloud that lives on this state folder, if there is one."""
    control = CloudControl(state_dir.resolve())
    try:
        control.pid()
    except (Unreachable, CallRefused):
        return None
    return control


def start_cloud(state_dir: Path, config: CloudConfig | None = None) -> CloudControl:
    """Finds the cloud of this state folder or starts it, detached; a given config is put into force."""
    found = find_cloud(state_dir)
    if found is not None:
        if config is not None and found.config() != config:
            found.client.call("configure", config=to_json(config))
        return found
    command = [sys.executable, "-I", "-m", _MODULE, "--daemon", "--state", str(state_dir.resolve())]
    if config is not None:
        command += ["--config", json.dumps(to_json(config))]
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    try:
        ran = subprocess.run(
            command,
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=START_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"the local cloud can't be started: {error}") from error
    deadline_s = clock.monotonic_s() + START_LIMIT_S
    # Another caller may have started it at the same time: then ours ended, and that one is about to answer.
    while (found := find_cloud(state_dir)) is None:
        if ran.returncode not in (0, 1) or clock.monotonic_s() > deadline_s or "can't start" in ran.stderr:
            raise UserError(ran.stderr.strip() or f"the local cloud did not start: see {state_dir}/cloud.log")
        clock.sleep(LOOK_EVERY_S)
    return found


def stop_cloud(state_dir: Path, *, instances: bool = True) -> None:
    """Ends the cloud with every process of every instance; with `instances` False, only the cloud.

    Where a cloud was killed its instances may still run: it is started once more to end them.
    """
    state_dir = state_dir.resolve()
    if not (state_dir / "cloud.db").exists():
        return
    control = start_cloud(state_dir) if instances else find_cloud(state_dir)
    if control is None:
        return
    pid = control.pid()
    left = control.client.call("stop", instances=instances)["left"]
    deadline_s = clock.monotonic_s() + START_LIMIT_S
    while find_cloud(state_dir) is not None or _runs(pid, state_dir):
        if clock.monotonic_s() > deadline_s:
            os.kill(pid, signal.SIGKILL)
            break
        clock.sleep(LOOK_EVERY_S)
    if left:
        raise UserError(f"these instances have processes that can't be killed: {', '.join(left)}")


def address_of(url: str) -> str:
    """host:port of an http or https URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"{url!r} is no http or https address of an API")
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _runs(pid: int, state_dir: Path) -> bool:
    """Whether that process is still the cloud of this folder."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return _MODULE.encode() in command and str(state_dir).encode() in command
