"""A cloud in virtual time: machines as they really are. What callers are told of them is in `provider`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from outlast.node_ports import NoticeSeen
from outlast_orchestrator.core.types import LaunchRequest, Market, Offer
from outlast_orchestrator.core.view import CloudState, EndProof
from outlast_orchestrator.simulate.clock import SimClock
from outlast_orchestrator.simulate.history import Fault, History, Launched, MachineEnded, Noticed

NAME = "sim"
REGIONS = ("east", "west")
ZONES = ("a", "b")
TYPES = (("gpu-1", 1, 0.9), ("gpu-2", 2, 2.1))  # name, GPUs, spot price
TOKEN_LIFE_S = 1800.0
LAUNCH_LAG_S = 120.0  # a fresh machine may be missing from listings for this long, never longer
LISTED_AFTER_END_S = 3600.0


@dataclass
class Machine:
    """One machine, by the truth."""

    id: str
    request: LaunchRequest
    offer: Offer  # which of the request's
    born_s: float
    ready_s: float  # reachable from then on
    listed_s: float  # listings may show it from then on
    state: CloudState = CloudState.PENDING
    interrupting: bool = False
    end: EndProof = EndProof.UNKNOWN
    end_text: str = ""
    ended_s: float | None = None
    notice_deadline_s: float | None = None
    notice_kind: str = "terminate"
    forgotten: int = 0  # this many listings will leave it out
    left_out: int = 0  # so many in a row did
    on_end: list[Callable[[], None]] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        return self.ended_s is None


class SimCloud:
    """Every machine there ever was, and the market that takes them away."""

    def __init__(self, clock: SimClock, history: History) -> None:
        self.clock = clock
        self.history = history
        self.dice = clock.stream("cloud")
        self.machines: dict[str, Machine] = {}
        self.tokens: dict[str, tuple[float, str]] = {}  # token → first use, machine
        self.dry_until_s: dict[str, float] = {}  # pool or region key → no capacity
        self.on_launch: Callable[[Machine], None] = lambda _machine: None
        # As EC2 takes them, in every other world; by a stream of its own, so the others stay as they were.
        self.together = clock.stream("pools").random() < 0.5

    def offers(self) -> list[Offer]:
        found = []
        for region in REGIONS:
            for zone in ZONES:
                for name, gpus, price in TYPES:
                    for market, factor in ((Market.SPOT, 1.0), (Market.ON_DEMAND, 3.0)):
                        spot_usd_h = price * (1.0 if region == "east" else 1.1)
                        place = (NAME, region, region + zone, name, market)
                        usd_h = (round(spot_usd_h * factor, 4), round(spot_usd_h * 3.0, 4))
                        found.append(Offer(*place, *usd_h, "gpu", gpus, self.together))
        return found

    def is_dry(self, pool: str) -> bool:
        """A key dries all pools below it: `sim/east` is the whole region."""
        now_s = self.clock.now_s
        return any(pool.startswith(key) and now_s < until for key, until in self.dry_until_s.items())

    def dry(self, key: str, seconds: float) -> None:
        self.dry_until_s[key] = max(self.dry_until_s.get(key, 0.0), self.clock.now_s + seconds)

    # a machine's life

    def launch(self, request: LaunchRequest) -> Machine:
        now_s, dice = self.clock.now_s, self.dice
        machine = Machine(
            id=f"i-{len(self.machines):03d}-{dice.randbytes(3).hex()}",
            request=request,
            offer=next((o for o in request.offers if not self.is_dry(o.pool)), request.offer),
            born_s=now_s,
            ready_s=now_s + dice.uniform(20.0, 90.0),
            listed_s=now_s + dice.choice((0.0, dice.uniform(0.0, 0.5 * LAUNCH_LAG_S))),
        )
        self.machines[machine.id] = machine
        self.tokens[request.token] = (now_s, machine.id)
        self.history.record(now_s, Launched(machine.id, request))
        self.clock.at(machine.ready_s, lambda: self._boot(machine))
        self.clock.after(request.max_life_s, lambda: self.end(machine, EndProof.GUEST, "maximum life"))
        return machine

    def _boot(self, machine: Machine) -> None:
        if machine.alive and machine.state is CloudState.PENDING:
            machine.state = CloudState.RUNNING
            self.on_launch(machine)

    def terminate(self, machine: Machine) -> None:
        if machine.alive and machine.state is not CloudState.STOPPING:
            machine.state = CloudState.STOPPING
            self.clock.after(
                self.dice.uniform(2.0, 40.0),
                lambda: self.end(machine, EndProof.OURS_OR_PERSON, "terminated by request"),
            )

    def end(self, machine: Machine, proof: EndProof, why: str) -> None:
        if not machine.alive:
            return
        machine.state, machine.ended_s = CloudState.ENDED, self.clock.now_s
        machine.end, machine.end_text = proof, why
        self.history.record(self.clock.now_s, MachineEnded(machine.id, why))
        for run in machine.on_end:
            run()

    # the market

    def interrupt(self, machine: Machine, *, lead_s: float, noticed: bool) -> None:
        """Takes the machine `lead_s` from now; `noticed`: its metadata service says so until then."""
        if not machine.alive or machine.interrupting:
            return
        deadline_s = self.clock.now_s + lead_s
        if noticed:
            machine.interrupting = True
            machine.notice_deadline_s = deadline_s
            self.history.record(self.clock.now_s, Noticed(machine.id, deadline_s))

        def take() -> None:
            if not noticed or machine.notice_deadline_s == deadline_s:
                self.end(machine, EndProof.INTERRUPTED, "taken by the market")

        self.clock.at(deadline_s, take)

    def withdraw(self, machine: Machine) -> None:
        if machine.alive and machine.interrupting:
            machine.interrupting, machine.notice_deadline_s = False, None
            self.history.record(self.clock.now_s, Fault("notice withdrawn", machine.id, machine.id))
            self.history.record(self.clock.now_s, Noticed(machine.id, None))

    def notices(self, machine: Machine) -> tuple[NoticeSeen, ...]:
        """What its metadata service says now."""
        if machine.notice_deadline_s is None:
            return ()
        left_s = max(0.0, machine.notice_deadline_s - self.clock.now_s)
        return (NoticeSeen(machine.notice_kind, left_s, "the market takes it"),)
