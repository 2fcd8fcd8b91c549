"""A local cloud for one test: started in its folder, and ended with a look for what it left behind."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from outlast_orchestrator.controller.clock import SystemClock
from outlast_orchestrator.core.types import Instance, InstancePhase, LaunchRequest, Offer, Want
from outlast_orchestrator.providers.local.config import CloudConfig
from outlast_orchestrator.providers.local.control import CloudControl, start_cloud, stop_cloud
from outlast_orchestrator.providers.local.provider import LocalProvider

OWNER = "owner-1"
LIMIT_S = 30.0
QUICK = CloudConfig(notice_s=2.0, grace_s=1.0)


def wait_until(what: str, test: Callable[[], Any], limit_s: float = LIMIT_S) -> Any:
    """The first true value of the test; fails with `what` after the limit."""
    deadline_s = time.monotonic() + limit_s
    while not (value := test()):
        assert time.monotonic() < deadline_s, f"not within {limit_s:.0f} s: {what}"
        time.sleep(0.02)
    return value


def processes_of(folder: Path) -> dict[int, str]:
    """Living processes that have anything to do with a folder, by their environment or command."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            state = (entry / "stat").read_text(errors="replace").rpartition(") ")[2][0]
            text = (entry / "cmdline").read_bytes() + b" " + (entry / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in text and state not in "ZX":
            found[int(entry.name)] = text[:200].decode(errors="replace")
    return found


@contextmanager
def local_cloud(folder: Path, config: CloudConfig = QUICK) -> Iterator[CloudControl]:
    folder = folder.resolve() / "cloud"
    try:
        yield start_cloud(folder, config)
    finally:
        stop_cloud(folder)
        left = processes_of(folder)
        assert not left, f"processes were left behind: {left}"


def provider_of(control: CloudControl, *, heal: bool = False) -> LocalProvider:
    return LocalProvider(control.state_dir, SystemClock(), OWNER, heal=heal)


def request_of(offer: Offer, launch: str = "launch-1", **changes: Any) -> LaunchRequest:
    request = LaunchRequest(
        token=f"{launch}-1",
        launch_id=launch,
        owner=OWNER,
        job="job-1",
        offer=offer,
        disk_gb=10,
        max_life_s=3600.0,
    )
    return replace(request, **changes)


def record_of(request: LaunchRequest, instance: str = "") -> Instance:
    return Instance(
        launch_id=request.launch_id,
        job=request.job,
        request=request,
        phase=InstancePhase.BOOTING,
        id=instance,
    )


def launched(control: CloudControl, launch: str = "launch-1", **changes: Any) -> str:
    """Launches an instance and waits until it runs; returns its id."""
    provider = provider_of(control)
    request = request_of(provider.offers(Want())[0], launch, **changes)
    provider.launch(request)
    running = control.wait_for(
        f"{launch} runs",
        lambda seen: any(one["launch_id"] == launch and one["state"] == "running" for one in seen),
    )
    return next(str(one["id"]) for one in running if one["launch_id"] == launch)


def ended(control: CloudControl, instance: str) -> dict[str, Any]:
    """Waits for the end of an instance; returns its last description."""
    control.wait_for(
        f"{instance} ends",
        lambda seen: any(one["id"] == instance and one["state"] == "ended" for one in seen),
    )
    return control.instance(instance)


def run_on(control: CloudControl, instance: str, script: str, **more: Any) -> dict[str, Any]:
    """Runs a shell script on an instance."""
    answer: dict[str, Any] = control.client.call(
        "execute", instance=instance, argv=["/bin/sh", "-c", script], **more
    )
    return answer
