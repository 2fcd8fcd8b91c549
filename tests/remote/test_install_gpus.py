"""No agent is put on a machine whose GPUs are missing or broken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.remote.kit import CONFIG, install, record, remote
from tests.servers.machine import Machine

from outlast_orchestrator.core.errors import Capacity, Invalid, Transient
from outlast_orchestrator.core.types import Instance


def with_gpus(node: Machine, count: int) -> Instance:
    found = record(node)
    offer = replace(found.request.offer, gpu="T4", gpu_count=count)
    return replace(found, request=replace(found.request, offer=offer))


def test_gpus_that_are_there_are_taken(node: Machine, kept: Path) -> None:
    install(remote(kept), with_gpus(node, 1))


def test_gpus_that_are_missing_get_their_time_and_then_end_the_machine(node: Machine, kept: Path) -> None:
    install(remote(kept), record(node))
    node.run("echo 10.00 1.00 > /tmp/uptime; mount --bind /tmp/uptime /proc/uptime")
    with pytest.raises(Transient, match=r"could not find its GPUs .*: 1 of 2 GPUs answer$"):
        remote(kept).install(with_gpus(node, 2), CONFIG)
    node.run("echo 999.00 1.00 > /tmp/uptime")
    with pytest.raises(Capacity, match=r"^i-1: 1 of 2 GPUs answer$") as found:
        remote(kept).install(with_gpus(node, 2), CONFIG)
    assert found.value.scope.key == "here/r1/r1-a/cpu-1/spot"


def test_a_gpu_that_has_fallen_off_the_bus_ends_the_machine_at_once(node: Machine, kept: Path) -> None:
    install(remote(kept), record(node))
    line = "[  12.3] NVRM: Xid (PCI:0000:00:1e): 79, pid=77, GPU has fallen off the bus."
    node.run(f"printf '#!/bin/sh\necho \"{line}\"\n' > /usr/local/bin/dmesg; chmod 755 /usr/local/bin/dmesg")
    with pytest.raises(Capacity, match=r"1 of 1 GPUs answer; the kernel says NVRM: Xid .*: 79,"):
        remote(kept).install(with_gpus(node, 1), CONFIG)
    harmless = line.replace(" 79,", " 13,")
    node.run(f"printf '#!/bin/sh\necho \"{harmless}\"\n' > /usr/local/bin/dmesg")
    remote(kept).install(with_gpus(node, 1), CONFIG)


def test_an_image_without_a_driver_is_refused_for_good(node: Machine, kept: Path) -> None:
    install(remote(kept), record(node))
    node.run("rm /usr/local/bin/nvidia-smi")
    with pytest.raises(Invalid, match="its image has no NVIDIA driver"):
        remote(kept).install(with_gpus(node, 1), CONFIG)
