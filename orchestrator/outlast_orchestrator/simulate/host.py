"""A simulated machine from the inside: its disk, its trainer, the real agent, and the dead-man switch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from outlast.node_ports import Node, NoticeSeen
from outlast.ports import Bucket, Link, Runtime
from outlast.protocol.objects import job_prefix
from outlast_orchestrator.core.ports import AgentConfig
from outlast_orchestrator.core.view import EndProof
from outlast_orchestrator.simulate.bucket import BucketServer, SimBucket
from outlast_orchestrator.simulate.clock import Dice, Process, SimClock
from outlast_orchestrator.simulate.cloud import Machine, SimCloud
from outlast_orchestrator.simulate.disk import (
    NodeDisk,
    SimDisk,
    SimLogs,
    SimOutputs,
    SimSaves,
    SimWorkplace,
)
from outlast_orchestrator.simulate.gang_trainer import Meetings
from outlast_orchestrator.simulate.history import DEADMAN_SAYS, AgentBorn, History, ProcessDied
from outlast_orchestrator.simulate.link import Door, SimLink
from outlast_orchestrator.simulate.network import Network
from outlast_orchestrator.simulate.runtime import ProcessRuntime
from outlast_orchestrator.simulate.sickness import Poisons
from outlast_orchestrator.simulate.trainer import SimTrainer

RESTARTS_MAX = 5
RESTART_AFTER_S = 5.0
DEADMAN_LOOK_S = 60.0
DEADMAN_S = 900.0  # an agent that has not touched its file for so long is hung
NOT_INSTALLED_S = 1800.0  # until an agent has touched it for the first time, as in the real script


@dataclass
class Surroundings:
    """What every machine stands in."""

    clock: SimClock
    history: History
    cloud: SimCloud
    network: Network
    bucket: BucketServer
    door: Door
    run_agent: Callable[[AgentConfig, Runtime, Link, Bucket, Node], None]
    dice: Dice
    contact_s: dict[str, float] = field(default_factory=dict)  # machine → its last successful write
    meetings: Meetings = field(default_factory=dict)  # of the trainers of gangs
    poisons: Poisons = field(default_factory=dict)
    told_s: dict[str, float] = field(default_factory=dict)  # … to a controller

    def contact(self, machine: str, sent_s: float) -> None:
        self.contact_s[machine] = max(sent_s, self.contact_s.get(machine, 0.0))

    def told(self, machine: str, sent_s: float) -> None:
        self.told_s[machine] = max(sent_s, self.told_s.get(machine, 0.0))
        self.contact(machine, sent_s)


class SimNotices:
    """The simulation's `outlast.node_ports.NoticeSource`."""

    def __init__(self, clock: SimClock, cloud: SimCloud, machine: Machine) -> None:
        self._clock = clock
        self._cloud = cloud
        self._machine = machine

    def poll(self) -> tuple[NoticeSeen, ...]:
        self._clock.step()
        return self._cloud.notices(self._machine)


class SimPower:
    """The simulation's `outlast.node_ports.Power`."""

    def __init__(self, clock: SimClock, off: Callable[[str], None]) -> None:
        self._clock = clock
        self._off = off

    def off(self, why: str) -> None:
        self._clock.step()
        self._clock.after(1.0, lambda: self._off(why))


class Host:
    """Starts the agent when it is installed, starts it again when it died, ends with the machine."""

    def __init__(self, around: Surroundings, machine: Machine) -> None:
        self._around = around
        self._clock = around.clock
        self.machine = machine
        self.disk = NodeDisk(alive_s=around.clock.now_s)
        self.trainer = SimTrainer(
            around.clock,
            around.history,
            machine.id,
            self.disk,
            around.clock.stream(f"trainer/{machine.id}"),
            around.meetings,
            around.poisons,
        )
        self.agent: Process | None = None
        self.paused = False
        self.able_s = 0.0  # when its agent last woke from a freeze
        self._config: AgentConfig | None = None
        self._link: SimLink | None = None
        self._births = 0
        self.closes_connections = around.dice.random() < 0.5  # its death is seen by its peers at once
        machine.on_end.append(self._end)
        around.clock.after(DEADMAN_LOOK_S, self._deadman)

    def install(self, config: AgentConfig) -> None:
        """What `Remote.install` does there: once, whatever is repeated."""
        if self._config is None and self.machine.alive:
            self._config = config
            self._start()

    # faults

    def pause(self) -> None:
        """The whole machine stands still: agent, trainer and dead-man switch."""
        self.paused = True
        for process in (self.agent, self.trainer.process):
            if process is not None:
                process.freeze()

    def resume(self) -> None:
        self.paused, self.able_s = False, self._clock.now_s
        for process in (self.agent, self.trainer.process):
            if process is not None:
                process.thaw()

    def thaw_agent(self, agent: Process) -> None:
        if not self.paused:
            self.able_s = self._clock.now_s
            agent.thaw()

    def power_off(self, why: str) -> None:
        self._around.cloud.end(self.machine, EndProof.GUEST, why)

    # the agent's life

    def _start(self) -> None:
        if not self.machine.alive or self._config is None:
            return
        around, config, clock = self._around, self._config, self._clock
        self._births += 1
        name = f"agent/{self.machine.id}/{self._births}"
        process = clock.process(name, skew_s=around.dice.choice((0.0, around.dice.uniform(-3600.0, 3600.0))))
        runtime = ProcessRuntime(process, clock.stream(name))
        link = self._link = SimLink(
            clock, around.network, around.door, self.machine.id, config.instance, config.job,
            runtime.mailbox, lambda sent_s: around.told(self.machine.id, sent_s),
        )  # fmt: skip
        bucket = SimBucket(
            around.bucket, around.network, self.machine.id, name, job_prefix(config.job), self._contact
        )
        process.on_death.append(lambda: self._agent_died(process))
        self.agent = process
        around.history.record(clock.now_s, AgentBorn(name, self.machine.id))
        process.spawn("main", lambda: around.run_agent(config, runtime, link, bucket, self.node()))

    def node(self) -> Node:
        clock, disk = self._clock, self.disk
        return Node(
            trainer=self.trainer,
            workplace=SimWorkplace(clock, disk, setup_s=self._around.dice.uniform(5.0, 60.0)),
            saves=SimSaves(clock, disk),
            notices=SimNotices(clock, self._around.cloud, self.machine),
            outputs=SimOutputs(clock, disk),
            logs=SimLogs(disk),
            disk=SimDisk(clock, disk),
            power=SimPower(clock, self.power_off),
        )

    def _agent_died(self, process: Process) -> None:
        crash = "" if process.crash is None else f"{type(process.crash).__name__}: {process.crash}"
        self._around.history.record(self._clock.now_s, ProcessDied(process.name, process.death, crash))
        self.trainer.vanish("its agent died")
        link = self._link
        if link is not None and (self.machine.alive or self.closes_connections):
            link.closed_by_kernel()
        if self.machine.alive and self._births <= RESTARTS_MAX:
            self._clock.after(RESTART_AFTER_S * self._births, self._start)

    def _end(self) -> None:
        if self.agent is not None:
            self.agent.kill("its machine ended")
        self.trainer.vanish("its machine ended")

    def _contact(self, sent_s: float) -> None:
        self._around.contact(self.machine.id, sent_s)

    # the dead-man switch

    def _deadman(self) -> None:
        if not self.machine.alive:
            return
        idle_s = self._clock.now_s - self.disk.alive_s
        if self.paused:
            self.disk.alive_s += DEADMAN_LOOK_S  # its own clock stands still too
        elif idle_s >= (DEADMAN_S if self.disk.touched else NOT_INSTALLED_S):
            self.power_off(f"{DEADMAN_SAYS} {idle_s:.0f} s")
        self._clock.after(DEADMAN_LOOK_S, self._deadman)
