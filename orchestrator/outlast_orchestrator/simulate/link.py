"""The way between agents and the controller's API, in virtual time: the simulation's `outlast.ports.Link`."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

from outlast.ports import LinkDown, LinkRefused, Mailbox
from outlast.protocol.codec import dump
from outlast.protocol.messages import Command, Reply, Report
from outlast.protocol.values import replace
from outlast_orchestrator.core.ports import Nodes
from outlast_orchestrator.simulate.clock import Process, SimClock
from outlast_orchestrator.simulate.network import CONTROLLER, Network

TIMEOUT_S = 10.0
LATENCY_S = 0.05


@dataclass(frozen=True)
class Listener:
    """One controller's API."""

    place: str  # in the network
    process: Process
    nodes: Nodes
    admits: Callable[[str, str], bool]
    leads: Callable[[], bool]

    @property
    def frozen(self) -> bool:
        """It listens, and never answers."""
        return self.process.frozen


class Door:
    """Where the API listens: at most one living controller at each place."""

    def __init__(self) -> None:
        self._listeners: dict[str, Listener] = {}
        self._hanging: dict[int, tuple[str, Mailbox]] = {}
        self._count = 0

    def open(self, listener: Listener) -> None:
        self._listeners[listener.place] = listener
        listener.process.on_death.append(lambda: self._closed(listener.place))

    def at(self, place: str) -> Listener | None:
        return self._listeners.get(place)

    def places(self) -> list[str]:
        return list(self._listeners) or [CONTROLLER]

    def _closed(self, place: str) -> None:
        """The controller's kernel ends its connections."""
        self._listeners.pop(place, None)
        for number, (there, mailbox) in list(self._hanging.items()):
            if there == place:
                del self._hanging[number]
                mailbox.put("closed")

    def hang(self, place: str, mailbox: Mailbox) -> Callable[[], None]:
        self._count += 1
        number = self._count
        self._hanging[number] = (place, mailbox)

        def stop() -> None:
            self._hanging.pop(number, None)

        return stop


class SimLink:
    """One agent's connection."""

    witness = True

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
        self._failures = 0
        self._numbered: tuple[tuple[Command, ...], int] | None = None  # the last commands, and their number
        self._hangs_on: Listener | None = None  # what the machine's kernel would close if the agent died

    def report(self, report: Report) -> Reply:
        sent_s = self._clock.now_s
        there = self._reach()
        reply = self._number(there.nodes.receive(report))
        self._clock.sleep(LATENCY_S * (0.5 + self._dice.random()))
        if not self._passes(there):
            self._give_up()
        self._contact(sent_s)
        return reply

    def hang(self, timeout_s: float) -> Reply | None:
        there = self._reach()
        nodes, mailbox = there.nodes, self._mailbox()
        self._hangs_on = there
        let_go = self._door.hang(there.place, mailbox)
        nodes.connected(self._launch_id)
        stop = nodes.watch(self._launch_id, lambda: mailbox.put("changed"))
        try:
            reply = self._number(nodes.told(self._launch_id))
            if reply.number != self._seen:
                self._clock.sleep(LATENCY_S)
            else:
                news = mailbox.get(timeout_s)
                if news == "closed":
                    raise LinkDown("the controller closed the connection")
                reply = self._number(nodes.told(self._launch_id))
        finally:
            stop()
            let_go()
            self._hangs_on = None
        if not self._passes(there):
            self._give_up()
        if not there.leads():
            raise LinkDown("another controller leads")
        news_for_us = reply.number != self._seen
        self._seen = reply.number
        return reply if news_for_us else None

    def closed_by_kernel(self) -> None:
        """The agent died while it waited for commands, and its peer is told at once."""
        there = self._hangs_on
        if there is not None and self._network.open(self._machine, there.place):
            there.nodes.disconnected(self._launch_id)

    def _reach(self) -> Listener:
        """What the name of the controller stands for: one place, and after a failure the next one."""
        self._clock.step()
        places = self._door.places()
        place = places[self._failures % len(places)]
        there = self._door.at(place)
        if not self._network.open(self._machine, place) or (there is not None and there.frozen):
            self._give_up()
        self._clock.sleep(LATENCY_S * (0.5 + self._dice.random()))
        there = self._door.at(place)
        if there is None:
            raise self._failed("connection refused")
        if not there.leads():
            raise self._failed("another controller leads")
        if not there.admits(self._launch_id, self._job):
            raise LinkRefused("this node's token is not known")
        return there

    def _passes(self, there: Listener) -> bool:
        return not there.frozen and self._network.open(self._machine, there.place)

    def _give_up(self) -> None:
        self._clock.sleep(TIMEOUT_S)
        raise self._failed("no answer from the controller")

    def _failed(self, why: str) -> LinkDown:
        self._failures += 1
        return LinkDown(why)

    def _number(self, reply: Reply) -> Reply:
        """As the API does it: a number that stands for what is told, the same after a restart."""
        commands = reply.commands
        if self._numbered is None or self._numbered[0] is not commands:
            self._numbered = (commands, 1 + zlib.crc32(b"".join(map(dump, commands))))
        return replace(reply, number=self._numbered[1])
