"""A cloud without limits and its installer: as fast as told, in memory, and it counts what is asked of it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from outlast_orchestrator.core.ports import AgentConfig
from outlast_orchestrator.core.types import Instance, LaunchRequest, Market, Offer, Want
from outlast_orchestrator.core.view import CloudState, EndProof, RegionListing, Seen

NAME, REGION = "fleet", "r1"
OFFERS = [
    Offer(NAME, REGION, f"r1-{zone}", "gpu-8", Market.SPOT, 9.0 + i, 30.0) for i, zone in enumerate("abc")
]


class FleetCloud:
    """Implements `core.ports.Provider`. A machine runs as soon as its launch is answered."""

    name = NAME

    def __init__(self, call_s: float) -> None:
        self._call_s = call_s
        self._lock = threading.Lock()
        self._machines: dict[str, Seen] = {}  # by token
        self._tokens: dict[str, list[str]] = {}  # by launch id
        self.asked_s: dict[str, float] = {}  # token → when its launch call came in first
        self.ended: Callable[[str], None] = lambda launch_id: None
        self.launches: Counter[str] = Counter()  # by job: machines that were made
        self.calls: list[tuple[str, float]] = []  # but `offers`: prices are kept, for all jobs

    def offers(self, want: Want) -> list[Offer]:
        return OFFERS

    def launch(self, request: LaunchRequest) -> None:
        now_s = time.monotonic()
        self.calls.append(("launch", now_s))
        with self._lock:
            if request.token in self._machines:
                return
            self.asked_s[request.token] = now_s
            self.launches[request.job] += 1
            self._machines[request.token] = _seen(request)
            self._tokens.setdefault(request.launch_id, []).append(request.token)
        time.sleep(self._call_s)

    def regions(self) -> list[str]:
        return [REGION]

    def instances(self, region: str) -> RegionListing:
        self.calls.append(("instances", time.monotonic()))
        time.sleep(self._call_s)
        with self._lock:
            return RegionListing(NAME, region, time.monotonic(), tuple(self._machines.values()))

    def terminate(self, instance: Instance) -> None:
        self.calls.append(("terminate", time.monotonic()))
        time.sleep(self._call_s)
        self.end(instance.launch_id, EndProof.OURS_OR_PERSON)

    def check(self) -> list[str]:
        return []

    # the market's side

    def end(self, launch_id: str, proof: EndProof = EndProof.INTERRUPTED) -> None:
        with self._lock:
            for token in self._tokens.get(launch_id, ()):
                seen = self._machines[token]
                if seen.state is not CloudState.ENDED:
                    self._machines[token] = replace(
                        seen, state=CloudState.ENDED, end=proof, ended_at=time.time()
                    )
        self.ended(launch_id)

    def living(self) -> dict[str, Seen]:
        """By launch id."""
        with self._lock:
            return {s.launch_id: s for s in self._machines.values() if s.state is CloudState.RUNNING}


class FleetRemote:
    """Implements `core.ports.Remote`: the agent runs as soon as it is installed."""

    def __init__(self, call_s: float, installed: Callable[[AgentConfig], None]) -> None:
        self._call_s = call_s
        self._installed = installed

    def install(self, instance: Instance, config: AgentConfig) -> None:
        time.sleep(self._call_s)
        self._installed(config)


def _seen(request: LaunchRequest) -> Seen:
    offer = request.offer
    return Seen(
        id=f"i-{request.token}",
        launch_id=request.launch_id,
        token=request.token,
        job=request.job,
        owner=request.owner,
        cloud=NAME,
        region=offer.region,
        zone=offer.zone,
        instance_type=offer.instance_type,
        market=offer.market,
        state=CloudState.RUNNING,
        price_usd_h=offer.price_usd_h,
        started_at=time.time(),
    )
