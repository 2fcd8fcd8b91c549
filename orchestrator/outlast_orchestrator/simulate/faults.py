"""The bad luck of the world: every kind of fault, drawn from the seed, at any touch of the world."""

from __future__ import annotations

from collections.abc import Callable

from outlast_orchestrator.core.view import EndProof
from outlast_orchestrator.simulate.bucket import BucketServer, BucketTrouble
from outlast_orchestrator.simulate.clock import Process, SimClock
from outlast_orchestrator.simulate.cloud import NAME, REGIONS, Machine
from outlast_orchestrator.simulate.control import ControlRoom
from outlast_orchestrator.simulate.history import Fault, History
from outlast_orchestrator.simulate.host import Host
from outlast_orchestrator.simulate.network import BUCKET, CLOUD, CONTROLLER, Network
from outlast_orchestrator.simulate.provider import CloudApi

CROSSINGS_MAX = 40  # a kill or a freeze hits one of the next touches of the world


class Faults:
    def __init__(
        self,
        clock: SimClock,
        history: History,
        network: Network,
        bucket: BucketServer,
        api: CloudApi,
        room: ControlRoom,
        hosts: dict[str, Host],
    ) -> None:
        self._clock = clock
        self._history = history
        self._network = network
        self._bucket = bucket
        self._api = api
        self._room = room
        self._hosts = hosts
        self._dice = clock.stream("faults")
        self.counts: dict[str, int] = {}
        self.rough_until_s = 0.0  # of the bucket, for whom may be excused
        self._kinds: list[tuple[str, float, Callable[[], bool]]] = [
            ("interruption with notice", 3.0, self._interrupt_in_time),
            ("interruption without notice", 2.0, lambda: self._interrupt(0.0, noticed=False)),
            ("interruption with late notice", 1.0, self._interrupt_late),
            ("notice withdrawn", 1.0, self._withdraw),
            ("host died", 1.0, self._host_dies),
            ("capacity refused", 1.5, self._dry),
            ("region down", 1.0, self._region_down),
            ("listing forgets", 1.0, self._forget),
            ("listing stale", 0.7, self._stale),
            ("cloud throttles", 0.7, self._throttle),
            ("launch reply lost", 1.0, self._lose_replies),
            ("launch late", 0.7, self._late_launches),
            ("bucket rough", 1.5, self._storm),
            ("controller cut from agent", 1.5, self._cut_agent),
            ("bucket cut from agent", 1.0, self._cut_agent_bucket),
            ("agent cut from all", 1.0, self._cut_agent_all),
            ("controller cut from bucket", 1.0, lambda: self._cut_controller(BUCKET)),
            ("controller cut from cloud", 1.0, lambda: self._cut_controller(CLOUD)),
            ("controller killed", 1.5, self._kill_controller),
            ("controller frozen", 1.0, self._freeze_controller),
            ("agent killed", 1.0, self._kill_agent),
            ("agent frozen", 1.0, self._freeze_agent),
            ("machine paused", 0.7, self._pause_machine),
        ]

    def plan(self, count: int, until_s: float) -> None:
        weights = [weight for _, weight, _ in self._kinds]
        for _ in range(count):
            name, _, act = self._dice.choices(self._kinds, weights)[0]
            self._clock.at(self._dice.uniform(600.0, until_s), self._striker(name, act, until_s))

    def _striker(self, name: str, act: Callable[[], bool], until_s: float) -> Callable[[], None]:
        """A fault that finds nobody to hit looks again later: an idle world proves nothing."""

        def strike() -> None:
            if any(host.machine.alive for host in self._hosts.values()) and act():
                self.counts[name] = self.counts.get(name, 0) + 1
            elif self._clock.now_s < until_s:
                self._clock.after(self._dice.uniform(120.0, 1800.0), strike)

        return strike

    def able_since_s(self, machine: str) -> float:
        """Since when that machine's agent can do its duty; now, while it can't."""
        now_s, host = self._clock.now_s, self._hosts[machine]
        agent = host.agent
        if agent is None or not agent.alive or agent.frozen or not self._network.open(machine, BUCKET):
            return now_s
        cut_s = self._network.opens_at_s(machine, BUCKET)
        return max(host.able_s, cut_s, min(self.rough_until_s, now_s), agent.born_s)

    # who is hit

    def _told(self, kind: str, text: str, machine: str = "", seconds: float = 0.0) -> bool:
        self._history.record(self._clock.now_s, Fault(kind, text, machine, self._clock.now_s + seconds))
        return True

    def _any_machine(self) -> Machine | None:
        living = [host.machine for host in self._hosts.values() if host.machine.alive]
        return self._dice.choice(living) if living else None

    def _any_agent(self) -> tuple[Host, Process] | None:
        living = [(h, h.agent) for h in self._hosts.values() if h.agent is not None and h.agent.alive]
        return self._dice.choice(living) if living else None

    def _while_s(self) -> float:
        """How long it lasts: mostly short, at times longer than the lease."""
        return self._dice.choice((20.0, 60.0, 200.0, 400.0, 900.0, 3600.0))

    # the market and its machines

    def _interrupt(self, lead_s: float, *, noticed: bool) -> bool:
        machine = self._any_machine()
        if machine is None:
            return False
        self._told("interruption", f"in {lead_s:.0f} s, noticed: {noticed}")
        self._api.cloud.interrupt(machine, lead_s=lead_s, noticed=noticed)
        return True

    def _interrupt_in_time(self) -> bool:
        return self._interrupt(self._dice.choice((120.0, 300.0)), noticed=True)

    def _interrupt_late(self) -> bool:
        return self._interrupt(self._dice.uniform(1.0, 30.0), noticed=True)

    def _withdraw(self) -> bool:
        machine = self._any_machine()
        if machine is None or machine.interrupting:
            return False
        self._api.cloud.interrupt(machine, lead_s=120.0, noticed=True)
        self._clock.after(self._dice.uniform(2.0, 100.0), lambda: self._api.cloud.withdraw(machine))
        return self._told("notice withdrawn", "soon", machine.id)

    def _host_dies(self) -> bool:
        machine = self._any_machine()
        if machine is None:
            return False
        self._told("host died", machine.id, machine.id)
        self._api.cloud.end(machine, EndProof.HOST, "its host died")
        return True

    # the cloud's API

    def _dry(self) -> bool:
        region = self._dice.choice(REGIONS)
        key = self._dice.choice((f"{NAME}/{region}/", f"{NAME}/{region}/{region}a/", f"{NAME}/"))
        self._api.cloud.dry(key, self._while_s())
        return self._told("capacity refused", key)

    def _region_down(self) -> bool:
        region, seconds = self._dice.choice(REGIONS), self._while_s()
        self._api.trouble.region_down_until_s[region] = self._clock.now_s + seconds
        return self._told("region down", f"{region} for {seconds:.0f} s")

    def _forget(self) -> bool:
        machine = self._any_machine()
        if machine is None:
            return False
        machine.forgotten = self._dice.choice((1, 2))
        return self._told("listing forgets", machine.id)

    def _stale(self) -> bool:
        seconds = self._while_s()
        self._api.trouble.stale_until_s = self._clock.now_s + seconds
        return self._told("listing stale", f"for {seconds:.0f} s")

    def _throttle(self) -> bool:
        seconds = self._while_s()
        self._api.trouble.throttled_until_s = self._clock.now_s + seconds
        return self._told("cloud throttles", f"for {seconds:.0f} s")

    def _lose_replies(self) -> bool:
        seconds = self._while_s()
        self._api.trouble.replies_lost_until_s = self._clock.now_s + seconds
        return self._told("launch reply lost", f"for {seconds:.0f} s")

    def _late_launches(self) -> bool:
        seconds = self._while_s()
        self._api.trouble.late_until_s = self._clock.now_s + seconds
        return self._told("launch late", f"for {seconds:.0f} s")

    # bucket and network

    def _storm(self) -> bool:
        seconds, dice = self._while_s(), self._dice
        late = dice.choice((0.0, 0.2))
        trouble = BucketTrouble(dice.choice((0.0, 0.3)), 0.1, dice.choice((0.1, 0.3)), late)
        self._bucket.worsen(seconds, trouble)
        # What was sent in the storm may still be waited for after it.
        self.rough_until_s = max(self.rough_until_s, self._clock.now_s + seconds + 60.0)
        return self._told("bucket rough", f"for {seconds:.0f} s", seconds=seconds + 60.0)

    def _cut_agent(self) -> bool:
        return self._cut_machine(CONTROLLER)

    def _cut_agent_bucket(self) -> bool:
        return self._cut_machine(BUCKET)

    def _cut_agent_all(self) -> bool:
        return self._cut_machine(CONTROLLER, BUCKET)

    def _cut_machine(self, *places: str) -> bool:
        machine, seconds = self._any_machine(), self._while_s()
        if machine is None:
            return False
        for place in places:
            self._network.cut(machine.id, place, seconds)
        text = f"{machine.id} from {' and '.join(places)} for {seconds:.0f} s"
        return self._told("network cut", text, machine.id, seconds + 60.0)

    def _cut_controller(self, place: str) -> bool:
        seconds = self._while_s()
        self._network.cut(CONTROLLER, place, seconds)
        return self._told("network cut", f"the controller from the {place} for {seconds:.0f} s")

    # processes

    def _trip(self, process: Process, action: Callable[[], None]) -> None:
        process.trip(self._dice.randrange(1, CROSSINGS_MAX), action)

    def _kill_controller(self) -> bool:
        process, away_s = self._room.process, self._while_s()
        if process is None or not process.alive:
            return False

        def kill() -> None:
            process.kill("killed by the plan")
            self._clock.after(away_s, self._room.start)

        self._trip(process, kill)
        return self._told("controller killed", f"back after {away_s:.0f} s")

    def _freeze_controller(self) -> bool:
        process, seconds = self._room.process, self._while_s()
        if process is None or not process.alive or process.frozen:
            return False
        self._trip(process, lambda: self._frozen(process, seconds))
        return self._told("controller frozen", f"for {seconds:.0f} s")

    def _frozen(self, process: Process, seconds: float) -> None:
        process.freeze()
        self._clock.after(seconds, process.thaw)

    def _kill_agent(self) -> bool:
        found = self._any_agent()
        if found is None:
            return False
        host, process = found
        self._trip(process, lambda: process.kill("killed by the plan"))
        return self._told("agent killed", process.name, host.machine.id)

    def _freeze_agent(self) -> bool:
        found, seconds = self._any_agent(), self._while_s()
        if found is None or found[1].frozen:
            return False
        host, process = found

        def freeze() -> None:
            process.freeze()
            self._clock.after(seconds, lambda: host.thaw_agent(process))

        self._trip(process, freeze)
        return self._told(
            "agent frozen", f"{process.name} for {seconds:.0f} s", host.machine.id, seconds + 60.0
        )

    def _pause_machine(self) -> bool:
        found, seconds = self._any_agent(), self._while_s()
        if found is None or found[0].paused:
            return False
        host = found[0]
        host.pause()
        self._clock.after(seconds, host.resume)
        return self._told(
            "machine paused", f"{host.machine.id} for {seconds:.0f} s", host.machine.id, seconds + 60.0
        )
