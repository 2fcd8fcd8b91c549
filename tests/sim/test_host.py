"""The simulated machine keeps to the real dead-man switch, and the real code is judged by it."""

from __future__ import annotations

from dataclasses import replace

from tests.sim.made_up import JOB, LAUNCH

from outlast.node_ports import Node
from outlast.ports import Bucket, Link, Runtime
from outlast_orchestrator.core.ports import AgentConfig
from outlast_orchestrator.simulate.bucket import BucketServer
from outlast_orchestrator.simulate.clock import SimClock
from outlast_orchestrator.simulate.cloud import Machine, SimCloud
from outlast_orchestrator.simulate.history import History
from outlast_orchestrator.simulate.host import DEADMAN_S, NOT_INSTALLED_S, Host, Surroundings
from outlast_orchestrator.simulate.link import Door
from outlast_orchestrator.simulate.network import Network

CONFIG = AgentConfig("sim://api", "token", JOB, "own", "l1", "sim://bucket", 600.0)
LATE_S = DEADMAN_S + 600.0


class Stage:
    """One machine; its agent touches the switch's file `touches_at_s` after its start, and then never."""

    def __init__(self, *touches_at_s: float) -> None:
        self._touches_at_s = touches_at_s
        self.clock = SimClock(1)
        history = History()
        cloud = SimCloud(self.clock, history)
        network, bucket = Network(self.clock), BucketServer(self.clock, history)
        around = Surroundings(
            self.clock, history, cloud, network, bucket, Door(), self._run, self.clock.stream("hosts")
        )
        self.machine: Machine = cloud.launch(replace(LAUNCH, max_life_s=1e6))
        self.host = Host(around, self.machine)

    def _run(self, config: AgentConfig, runtime: Runtime, link: Link, bucket: Bucket, node: Node) -> None:
        begun_s = self.clock.now_s
        for at_s in self._touches_at_s:
            self.clock.sleep(begun_s + at_s - self.clock.now_s)
            node.disk.alive()
        self.clock.sleep(10 * NOT_INSTALLED_S)

    def install_at(self, at_s: float) -> None:
        self.clock.at(at_s, lambda: self.host.install(CONFIG))

    def lives_until(self, at_s: float) -> bool:
        self.clock.run(at_s)
        return self.machine.alive


def test_a_machine_that_was_installed_late_lives() -> None:
    """Its network was cut until long after it had booted. What counts against the shorter time, that of an
    agent which hangs, begins with the first touch: before, its boot counted, and it was switched off in
    the same second in which its agent came to be."""
    stage = Stage(5.0)
    stage.install_at(LATE_S)
    assert LATE_S < NOT_INSTALLED_S
    assert stage.lives_until(LATE_S + DEADMAN_S)


def test_an_agent_that_hangs_ends_the_machine() -> None:
    stage = Stage(5.0)
    stage.install_at(60.0)
    assert stage.lives_until(60.0 + DEADMAN_S)
    assert not stage.lives_until(60.0 + DEADMAN_S + 120.0)


def test_an_agent_that_never_touches_the_file_was_never_installed() -> None:
    stage = Stage()
    stage.install_at(60.0)
    assert stage.lives_until(NOT_INSTALLED_S - 60.0)
    assert not stage.lives_until(NOT_INSTALLED_S + 60.0)
