"""The way between agents and the controller's API, in virtual time: the simulation's `outlast.ports.Link`."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable

from outlast.ports import LinkDown, LinkRefused, Mailbox
from outlast.protocol.codec import dump
from outlast.protocol.messages import Reply, Report
from outlast_orchestrator.core.ports import Nodes
from outlast_orchestrator.simulate.clock import Process, SimClock
from outlast_orchestrator.simulate.network import CONTROLLER, Network

TIMEOUT_S = 10.0
LATENCY_S = 0.05


class Door:
    """Where the API listens: the living controller's registry of nodes, or nobody's."""

    def __init__(self) -> None:
        self.nodes: Nodes | None = None
        self.process: Process | None = None
        self.admits: Callable[[str, str], bool] = lambda _launch_id, _job: True
        self._hanging: dict[int, Mailbox] = {}
        self._count = 0

    def open(self, process: Process, nodes: Nodes, admits: Callable[[str, str], bool]) -> None:
        self.process, self.nodes, self.admits = process, nodes, admits
        process.on_death.append(self._closed)

    def _closed(self) -> None:
        """The controller's kernel ends its connections."""
        self.nodes = None
        hanging, self._hanging = self._hanging, {}
        for mailbox in hanging.values():
            mailbox.put("closed")

    @property
    def frozen(self) -> bool:
        """It listens, and never answers."""
        return self.process is not None and self.process.alive and self.process.frozen

    def hang(self, mailbox: Mailbox) -> Callable[[], None]:
        self._count += 1
        number = self._count
        self._hanging[number] = mailbox

        def stop() -> None:
            self._hanging.pop(number, None)

        return stop


class SimLink:
    """One agent's connection."""

    def __init__(
        self,
        clock: SimClock,
        network: Network,
        door: Door,
        machine: str,
        launch_id: str,
        job: str,
        mailbox: Callable[[], Mailbox],
        contact: Callable[[float], None],
    ) -> None:
        self._clock = clock
        self._network = network
        self._door = door
        self._machine = machine
        self._launch_id = launch_id
        self._job = job
        self._mailbox = mailbox
        self._contact = contact  # told of every report that got through, with the time when it was sent
        self._dice = clock.stream(f"link/{machine}")
        self._seen = 0
        self.hanging = False  # what the machine's kernel would close if the agent died

    def report(self, report: Report) -> Reply:
        sent_s = self._clock.now_s
        nodes = self._reach()
        reply = _numbered(nodes.receive(report))
        self._clock.sleep(LATENCY_S * (0.5 + self._dice.random()))
        if not self._network.open(self._machine, CONTROLLER):
            self._give_up()
        self._contact(sent_s)
        return reply

    def hang(self, timeout_s: float) -> Reply | None:
        nodes = self._reach()
        mailbox = self._mailbox()
        self.hanging = True
        let_go = self._door.hang(mailbox)
        nodes.connected(self._launch_id)
        stop = nodes.watch(self._launch_id, lambda: mailbox.put("changed"))
        try:
            reply = _numbered(nodes.told(self._launch_id))
            if reply.number != self._seen:
                self._clock.sleep(LATENCY_S)
            else:
                news = mailbox.get(timeout_s)
                if news == "closed":
                    raise LinkDown("the controller closed the connection")
                reply = _numbered(nodes.told(self._launch_id))
        finally:
            stop()
            let_go()
            self.hanging = False
        if self._door.frozen or not self._network.open(self._machine, CONTROLLER):
            self._give_up()
        news_for_us = reply.number != self._seen
        self._seen = reply.number
        return reply if news_for_us else None

    def closed_by_kernel(self) -> None:
        """The agent died while it waited for commands, and its peer is told at once."""
        nodes = self._door.nodes
        if nodes is not None and self._network.open(self._machine, CONTROLLER):
            nodes.disconnected(self._launch_id)

    def _reach(self) -> Nodes:
        self._clock.step()
        if not self._network.open(self._machine, CONTROLLER) or self._door.frozen:
            self._give_up()
        self._clock.sleep(LATENCY_S * (0.5 + self._dice.random()))
        nodes = self._door.nodes
        if nodes is None:
            raise LinkDown("connection refused")
        if not self._door.admits(self._launch_id, self._job):
            raise LinkRefused("this node's token is not known")
        return nodes

    def _give_up(self) -> None:
        self._clock.sleep(TIMEOUT_S)
        raise LinkDown("no answer from the controller")


def _numbered(reply: Reply) -> Reply:
    """As the API does it: a number that stands for what is told, the same after a restart."""
    return dataclasses.replace(reply, number=1 + zlib.crc32(b"".join(map(dump, reply.commands))))
