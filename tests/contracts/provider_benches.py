"""What the contract of a provider needs around it: a way to break its cloud, and to let time pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from tests.providers.local_kit import OWNER, QUICK, local_cloud, provider_of
from tests.servers import arm as arm_server
from tests.servers import compute as compute_server
from tests.servers.arm import Arm, arm
from tests.servers.compute import ZONES, Compute, compute
from tests.servers.ec2 import Ec2, Trouble, ec2

from outlast_orchestrator.core.ports import Provider
from outlast_orchestrator.core.types import Offer
from outlast_orchestrator.providers.local.control import CloudControl
from outlast_orchestrator.simulate.clock import SimClock
from outlast_orchestrator.simulate.cloud import SimCloud
from outlast_orchestrator.simulate.history import History
from outlast_orchestrator.simulate.network import Network
from outlast_orchestrator.simulate.provider import CloudApi, CloudTrouble, SimProvider
from outlast_orchestrator.simulate.runtime import ProcessRuntime


class Bench(Protocol):
    """One cloud under test. Every implementation of `Provider` brings its own."""

    owner: str

    @property
    def provider(self) -> Provider: ...

    def pass_time(self) -> None:
        """A moment passes: waited for in reality, or put forward on a virtual clock."""

    def break_region(self, region: str) -> None: ...

    def mend(self) -> None: ...

    def dry(self, offer: Offer) -> None:
        """That pool has no capacity from now on."""

    def lose_next_reply(self) -> None:
        """The next launch takes place, but its caller gets no answer."""

    def throttle(self) -> None: ...

    def deny(self) -> None:
        """The account loses its rights."""

    def forget_ended(self) -> None:
        """Ended instances leave the listing soon."""

    def take(self, instance: str) -> None:
        """The market takes that instance, without a notice."""


class LocalBench:
    owner = OWNER

    def __init__(self, control: CloudControl) -> None:
        self._control = control
        self.provider = provider_of(control)

    def pass_time(self) -> None:
        time.sleep(0.05)

    def break_region(self, region: str) -> None:
        self._control.fail_listing(region, None)

    def mend(self) -> None:
        self._control.clear()

    def dry(self, offer: Offer) -> None:
        self._control.refuse(
            None, zone=offer.zone, instance_type=offer.instance_type, market=offer.market.value
        )

    def lose_next_reply(self) -> None:
        self._control.lose_reply("launch")

    def throttle(self) -> None:
        self._control.throttle(None)

    def deny(self) -> None:
        self._control.refuse(None, code="UnauthorizedOperation")

    def forget_ended(self) -> None:
        self._control.configure(ended_listed_s=0.0)

    def take(self, instance: str) -> None:
        self._control.interrupt(instance, notice=False)


@contextmanager
def local_bench(folder: Path) -> Iterator[Bench]:
    with local_cloud(folder, QUICK) as control:
        yield LocalBench(control)


class SimBench:
    """The simulated cloud; its time passes only when it is told to."""

    owner = "0123456789abcdef"

    def __init__(self) -> None:
        self._clock = SimClock(1)
        self._cloud = SimCloud(self._clock, History())
        self._api = CloudApi(self._cloud)
        runtime = ProcessRuntime(self._clock.process("test"), self._clock.stream("test"))
        self.provider = SimProvider(self._api, Network(self._clock), runtime)

    def pass_time(self) -> None:
        self._clock.sleep(1.0)

    def break_region(self, region: str) -> None:
        self._api.trouble.region_down_until_s[region] = float("inf")

    def mend(self) -> None:
        self._api.trouble = CloudTrouble({})

    def dry(self, offer: Offer) -> None:
        self._cloud.dry(offer.pool, float("inf"))

    def lose_next_reply(self) -> None:
        self._api.trouble.replies_lost_until_s = self._clock.now_s + 1.5

    def throttle(self) -> None:
        self._api.trouble.throttled_until_s, self._api.trouble.throttled_share = float("inf"), 1.0

    def deny(self) -> None:
        self._api.trouble.denied = True

    def forget_ended(self) -> None:
        self._api.listed_after_end_s = 0.0

    def take(self, instance: str) -> None:
        self._cloud.interrupt(self._cloud.machines[instance], lead_s=0.0, noticed=False)


@contextmanager
def sim_bench(_folder: Path) -> Iterator[Bench]:
    yield SimBench()


class Ec2Bench:
    """EC2 by its real SDK, against a server on loopback."""

    region = "us-east-1"

    def __init__(self, server: Ec2) -> None:
        self._server = server
        self.owner = server.owner
        self.provider = server.provider(self.region)

    def pass_time(self) -> None:
        time.sleep(0.05)

    def break_region(self, region: str) -> None:
        self._server.trouble.regions.add(region)

    def mend(self) -> None:
        self._server.trouble = Trouble()

    def dry(self, offer: Offer) -> None:
        pool = (offer.zone, offer.instance_type, offer.market.value)
        self._server.trouble.dry[pool] = "InsufficientInstanceCapacity"

    def lose_next_reply(self) -> None:
        self._server.trouble.lose_replies = 1

    def throttle(self) -> None:
        self._server.trouble.refusal = (503, "RequestLimitExceeded", "Request limit exceeded.")

    def deny(self) -> None:
        words = "You are not authorized to perform this operation."
        self._server.trouble.refusal = (403, "UnauthorizedOperation", words)

    def forget_ended(self) -> None:
        self._server.forget_ended(self.region)

    def take(self, instance: str) -> None:
        self._server.take(instance, self.region)


@contextmanager
def ec2_bench(_folder: Path) -> Iterator[Bench]:
    with ec2() as server:
        yield Ec2Bench(server)


class ComputeBench:
    """Compute Engine by its real SDK, against a small server of ours."""

    def __init__(self, server: Compute) -> None:
        self._server = server
        self.owner = server.owner
        self.provider = server.provider()

    def pass_time(self) -> None:
        time.sleep(0.05)

    def break_region(self, region: str) -> None:
        self._server.trouble.zones.update(ZONES[region])

    def mend(self) -> None:
        self._server.trouble = compute_server.Trouble()

    def dry(self, offer: Offer) -> None:
        pool = (offer.zone, offer.instance_type, offer.market.value)
        self._server.trouble.dry[pool] = ("ZONE_RESOURCE_POOL_EXHAUSTED", "does not have enough resources")

    def lose_next_reply(self) -> None:
        self._server.trouble.lose_replies = 1

    def throttle(self) -> None:
        self._server.trouble.refusal = (403, "rateLimitExceeded", "Rate Limit Exceeded")

    def deny(self) -> None:
        self._server.trouble.refusal = (403, "forbidden", "Required 'compute.instances.create' permission")

    def forget_ended(self) -> None:
        self._server.forget_ended()

    def take(self, instance: str) -> None:
        self._server.preempt(instance)


@contextmanager
def compute_bench(_folder: Path) -> Iterator[Bench]:
    with compute() as server:
        yield ComputeBench(server)


class ArmBench:
    """Azure by its real SDKs, against a small server of ours."""

    def __init__(self, server: Arm) -> None:
        self._server = server
        self.owner = server.owner
        self.provider = server.provider()

    def pass_time(self) -> None:
        time.sleep(0.05)
        self._server.pass_time(30.0)  # the log is read rarely

    def break_region(self, region: str) -> None:
        self._server.trouble.lists = False  # there is one list for all

    def mend(self) -> None:
        self._server.trouble = arm_server.Trouble()

    def dry(self, offer: Offer) -> None:
        pool = (offer.zone, offer.instance_type, offer.market.value)
        self._server.trouble.dry[pool] = ("SkuNotAvailable", "The requested VM size is not available")

    def lose_next_reply(self) -> None:
        self._server.trouble.lose_replies = 1

    def throttle(self) -> None:
        self._server.trouble.refusal = (429, "TooManyRequests", "The request is being throttled.")

    def deny(self) -> None:
        words = "The client does not have authorization to perform action"
        self._server.trouble.refusal = (403, "AuthorizationFailed", words)

    def forget_ended(self) -> None:
        self._server.forget_ended()

    def take(self, instance: str) -> None:
        self._server.evict(instance)


@contextmanager
def arm_bench(folder: Path) -> Iterator[Bench]:
    with arm(folder) as server:
        yield ArmBench(server)


BENCHES: dict[str, Callable[[Path], AbstractContextManager[Bench]]] = {
    "azure": arm_bench,
    "compute-engine": compute_bench,
    "ec2": ec2_bench,
    "local": local_bench,
    "simulated": sim_bench,
}
