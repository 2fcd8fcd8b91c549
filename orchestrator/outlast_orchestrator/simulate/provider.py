"""What one controller can do to the simulated cloud, and how truly it is told: Provider and Remote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from outlast.protocol.limits import GONE_AFTER_ABSENCES
from outlast_orchestrator.core.errors import (
    Capacity,
    Denied,
    Invalid,
    ProviderError,
    Scope,
    ScopeKind,
    Throttled,
    Transient,
)
from outlast_orchestrator.core.ports import AgentConfig, Clock
from outlast_orchestrator.core.types import Instance, LaunchRequest, Offer, Want
from outlast_orchestrator.core.view import CloudState, RegionListing, Seen
from outlast_orchestrator.simulate.clock import SimClock
from outlast_orchestrator.simulate.cloud import (
    LISTED_AFTER_END_S,
    NAME,
    REGIONS,
    TOKEN_LIFE_S,
    TYPES,
    Machine,
    SimCloud,
)
from outlast_orchestrator.simulate.history import (
    LaunchAnswered,
    LaunchAsked,
    Listed,
    TerminateAsked,
)
from outlast_orchestrator.simulate.network import CLOUD, CONTROLLER, Network
from outlast_orchestrator.simulate.runtime import WALL_START_S

TIMEOUT_S = 30.0
FORGETS_MAX = GONE_AFTER_ABSENCES - 1  # in a row: of one that forgets more, a listing proves nothing at all


@dataclass
class CloudTrouble:
    """The weather of the cloud's API; times are until when."""

    region_down_until_s: dict[str, float]
    throttled_until_s: float = 0.0
    throttled_share: float = 0.7
    denied: bool = False  # the account has lost its rights
    replies_lost_until_s: float = 0.0
    late_until_s: float = 0.0  # launches arrive after their caller gave up
    stale_until_s: float = 0.0  # listings show machines in the state of a minute ago


class CloudApi:
    """The API that all controllers of the world share."""

    def __init__(self, cloud: SimCloud) -> None:
        self.cloud = cloud
        self.trouble = CloudTrouble({})
        self.dice = cloud.clock.stream("cloud api")
        self.listed_after_end_s = LISTED_AFTER_END_S

    def launch(self, request: LaunchRequest) -> None:
        """As it arrives. Within its life a token stands for one request and one machine."""
        known = self.cloud.tokens.get(request.token)
        if known is not None and self.cloud.clock.now_s - known[0] < TOKEN_LIFE_S:
            if self.cloud.machines[known[1]].request != request:
                raise Invalid(
                    f"token {request.token} was used with other parameters",
                    Scope(ScopeKind.REQUEST, request.token),
                )
            return
        if request.offer.instance_type not in [name for name, _, _ in TYPES]:
            raise Invalid(
                f"there is no machine type {request.offer.instance_type!r}",
                Scope(ScopeKind.REQUEST, request.token),
            )
        if all(self.cloud.is_dry(offer.pool) for offer in request.offers):
            raise _dry(request.offers)
        self.cloud.launch(request)

    def show(self, region: str) -> list[Machine]:
        """What a listing of the region shows: fresh machines late, ended ones for a while."""
        now_s = self.cloud.clock.now_s
        shown = []
        for machine in self.cloud.machines.values():
            if machine.offer.region != region or now_s < machine.listed_s:
                continue
            if machine.ended_s is not None and now_s > machine.ended_s + self.listed_after_end_s:
                continue
            if machine.forgotten > 0 and machine.left_out < FORGETS_MAX:
                machine.forgotten -= 1
                machine.left_out += 1
                continue
            machine.left_out = 0
            shown.append(machine)
        return shown

    def state_told(self, machine: Machine) -> CloudState:
        """A stale listing still shows as running what ended less than a minute ago."""
        now_s, ended_s = self.cloud.clock.now_s, machine.ended_s
        if ended_s is not None and now_s < self.trouble.stale_until_s and now_s - ended_s < 60.0:
            return CloudState.RUNNING
        return machine.state


class SimProvider:
    """The simulation's `core.ports.Provider`, as one controller holds it."""

    name = NAME

    def __init__(self, api: CloudApi, network: Network, clock: Clock, place: str = CONTROLLER) -> None:
        self._api = api
        self._cloud = api.cloud
        self._world: SimClock = api.cloud.clock
        self._network = network
        self._clock = clock
        self._place = place

    def offers(self, want: Want) -> list[Offer]:
        self._cross("offers")
        if want.clouds and NAME not in want.clouds:
            return []
        found = [o for o in self._cloud.offers() if o.market in want.markets]
        if want.gpus:
            found = [o for o in found if f"{o.gpu}:{o.gpu_count}" in want.gpus]
        if want.regions:
            found = [o for o in found if o.region in want.regions]
        if want.price_max_usd_h is not None:
            found = [o for o in found if o.price_usd_h <= want.price_max_usd_h]
        return found

    def regions(self) -> list[str]:
        return list(REGIONS)

    def launch(self, request: LaunchRequest) -> None:
        history = self._cloud.history
        asking = self._world.current()
        skew_s = 0.0 if asking is None else asking.skew_s
        history.record(self._world.now_s, LaunchAsked(request, self._by(), skew_s))
        answer = "unsure"
        try:
            self._cross("launch")
            self._deliver(request)
            answer = "accepted"
        except Transient:
            raise
        except ProviderError:
            answer = "refused"
            raise
        finally:
            history.record(self._world.now_s, LaunchAnswered(request.token, answer))

    def _deliver(self, request: LaunchRequest) -> None:
        trouble, now_s = self._api.trouble, self._world.now_s
        region = request.offer.region
        if now_s < trouble.region_down_until_s.get(region, 0.0):
            raise Transient(f"region {region} does not answer", _region(region))
        if now_s < trouble.late_until_s:
            self._world.after(TIMEOUT_S + self._api.dice.uniform(0.0, 60.0), _quietly(self._api, request))
            self._give_up("launch")
        self._api.launch(request)
        if now_s < trouble.replies_lost_until_s:
            self._give_up("launch")
        self._world.step("launch")

    def instances(self, region: str) -> RegionListing:
        begun_s = self._clock.monotonic_s()
        try:
            self._cross("instances")
        except ProviderError as error:
            return RegionListing(NAME, region, begun_s, problem=str(error))
        if self._world.now_s < self._api.trouble.region_down_until_s.get(region, 0.0):
            return RegionListing(NAME, region, begun_s, problem=f"region {region} does not answer")
        shown = self._api.show(region)
        self._cloud.history.record(
            self._world.now_s,
            Listed(region, tuple(m.id for m in shown), tuple(m.request.token for m in shown), self._by()),
        )
        return RegionListing(NAME, region, begun_s, tuple(self._seen(m) for m in shown))

    def terminate(self, instance: Instance) -> None:
        for machine in self._meant(instance):
            if machine.alive:
                self._cloud.history.record(self._world.now_s, TerminateAsked(machine.id, self._by()))
        self._cross("terminate")
        for machine in self._meant(instance):
            self._cloud.terminate(machine)
        self._world.step("terminate")

    def check(self) -> list[str]:
        return []

    def _meant(self, instance: Instance) -> list[Machine]:
        machines = self._cloud.machines.values()
        if instance.id:
            return [machine for machine in machines if machine.id == instance.id]
        return [machine for machine in machines if machine.request.launch_id == instance.launch_id]

    def _seen(self, machine: Machine) -> Seen:
        request, offer = machine.request, machine.offer
        return Seen(
            id=machine.id,
            launch_id=request.launch_id,
            token=request.token,
            job=request.job,
            owner=request.owner,
            cloud=NAME,
            region=offer.region,
            zone=offer.zone,
            instance_type=offer.instance_type,
            market=offer.market,
            state=self._api.state_told(machine),
            price_usd_h=offer.price_usd_h,
            started_at=WALL_START_S + machine.born_s,
            ended_at=None if machine.ended_s is None else WALL_START_S + machine.ended_s,
            interrupting=machine.interrupting,
            end=machine.end,
            end_text=machine.end_text,
            address=machine.id if self._world.now_s >= machine.ready_s else "",
        )

    def _cross(self, call: str) -> None:
        """The way to the API: latency, a cut network, throttling."""
        self._world.sleep(0.2 + self._api.dice.random(), call)
        if not self._network.open(self._place, CLOUD):
            self._give_up(call)
        if self._api.trouble.denied:
            raise Denied("the account may do nothing here", Scope(ScopeKind.ACCOUNT, NAME))
        if (
            self._world.now_s < self._api.trouble.throttled_until_s
            and self._api.dice.random() < self._api.trouble.throttled_share
        ):
            raise Throttled(f"too many calls ({call})", Scope(ScopeKind.CALL, f"{NAME}/{call}"))

    def _by(self) -> str:
        process = self._world.current()
        return "" if process is None else process.name

    def _give_up(self, call: str) -> None:
        self._world.sleep(TIMEOUT_S)
        raise Transient(f"no answer to {call}", Scope(ScopeKind.CALL, f"{NAME}/{call}"))


class SimRemote:
    """The simulation's `core.ports.Remote`: reaches machines over the network, once they are up."""

    def __init__(
        self,
        cloud: SimCloud,
        network: Network,
        start: Callable[[Machine, AgentConfig], None],
        place: str = CONTROLLER,
    ) -> None:
        self._cloud = cloud
        self._network = network
        self._start = start
        self._place = place

    def install(self, instance: Instance, config: AgentConfig) -> None:
        self._cloud.clock.sleep(5.0 + 10.0 * self._cloud.dice.random(), "install")
        machine = self._cloud.machines.get(instance.id)
        reachable = machine is not None and machine.state is CloudState.RUNNING
        if machine is None or not reachable or not self._network.open(self._place, machine.id):
            self._cloud.clock.sleep(10.0)
            raise Transient(f"{instance.id} does not answer", Scope(ScopeKind.CALL, f"ssh/{instance.id}"))
        self._start(machine, config)
        self._cloud.clock.step("install")


def _region(region: str) -> Scope:
    return Scope(ScopeKind.REGION, f"{NAME}/{region}")


def _dry(offers: Sequence[Offer]) -> Capacity:
    """One refusal, with those of the other pools beside it."""
    first, *rest = (Capacity(f"no capacity in {o.pool}", Scope(ScopeKind.POOL, o.pool)) for o in offers)
    first.also = tuple(rest)
    return first


def _quietly(api: CloudApi, request: LaunchRequest) -> Callable[[], None]:
    def arrive() -> None:
        try:
            api.launch(request)
        except (Capacity, Invalid):
            return

    return arrive
