"""The local cloud as a provider."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from outlast.protocol.codec import to_json
from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.core.ports import Clock
from outlast_orchestrator.core.types import Instance, LaunchRequest, Market, Offer, Want
from outlast_orchestrator.core.view import CloudState, EndProof, RegionListing, Seen
from outlast_orchestrator.providers.local.client import CallRefused, Client, Unreachable
from outlast_orchestrator.providers.local.config import CLOUD
from outlast_orchestrator.providers.local.control import find_cloud, start_cloud
from outlast_orchestrator.providers.local.errors import from_call, from_launch
from outlast_orchestrator.providers.local.records import EndCode, Order
from outlast_orchestrator.providers.local.refusals import NO_SUCH_INSTANCE
from outlast_orchestrator.providers.machines import wish_of

PROOFS = {
    EndCode.INTERRUPTED.value: EndProof.INTERRUPTED,
    EndCode.BY_REQUEST.value: EndProof.OURS_OR_PERSON,
    EndCode.GUEST.value: EndProof.GUEST,
    EndCode.HOST.value: EndProof.HOST,
    EndCode.NEVER_RAN.value: EndProof.LAUNCH,
}


class LocalProvider:
    """Implements `core.ports.Provider`. A cloud that died is started again by the next call."""

    name = CLOUD
    launch_lag_s = 5.0  # how long a fresh instance may be missing from a listing
    token_life_s = 86400.0

    def __init__(
        self,
        state_dir: Path,
        clock: Clock,
        owner: str,
        *,
        user_data: Callable[[LaunchRequest], str] | None = None,
        heal: bool = True,
    ) -> None:
        """`user_data` makes that of a request which has none; equal requests must get equal texts."""
        self._client = Client(state_dir.resolve())
        self._clock = clock
        self._owner = owner
        self._user_data = user_data
        self._heal = heal

    def offers(self, want: Want) -> list[Offer]:
        if want.clouds and CLOUD not in want.clouds:
            return []
        try:
            found = self._call("offers")
        except (CallRefused, Unreachable) as error:
            raise from_call(error, "offers") from error
        offers = [
            Offer(
                cloud=CLOUD,
                region=one["region"],
                zone=one["zone"],
                instance_type=one["instance_type"],
                market=Market(one["market"]),
                price_usd_h=one["price_usd_h"],
                on_demand_usd_h=one["on_demand_usd_h"],
                gpu=one["gpu"],
                gpu_count=one["gpu_count"],
            )
            for one in found
        ]
        return [offer for offer in offers if _fits(offer, want)]

    def launch(self, request: LaunchRequest) -> None:
        try:
            self._call("launch", order=to_json(self._order(request)))
        except (CallRefused, Unreachable) as error:
            raise from_launch(error, request) from error

    def regions(self) -> list[str]:
        try:
            return sorted(self._call("config")["zones"])
        except (CallRefused, Unreachable) as error:
            raise from_call(error, "regions") from error

    def instances(self, region: str) -> RegionListing:
        begun_s = self._clock.monotonic_s()
        try:
            found = self._call("instances", region=region, owner=self._owner)
        except (CallRefused, Unreachable) as error:
            return RegionListing(CLOUD, region, begun_s, problem=str(error))
        return RegionListing(CLOUD, region, begun_s, tuple(_seen(one) for one in found))

    def terminate(self, instance: Instance) -> None:
        """An intent that never got an id has nothing to end here: the listing will show it if it lives."""
        try:
            for one in self._ids(instance):
                self._call("terminate", instance=one)
        except CallRefused as error:
            if error.code != NO_SUCH_INSTANCE:
                raise from_call(error, "terminate") from error
        except Unreachable as error:
            raise from_call(error, "terminate") from error

    def check(self) -> list[str]:
        state_dir = self._client.state_dir
        problems = []
        if not sys.platform.startswith("linux"):
            problems.append(
                "the local cloud needs Linux: use a cloud account, or a Linux machine or container"
            )
        if state_dir.exists() and not os.access(state_dir, os.W_OK):
            problems.append(f"{state_dir} can't be written: give it to this user, or set OUTLAST_HOME")
        if not problems and find_cloud(state_dir) is None:
            problems.append(f"no local cloud runs in {state_dir}: `outlast server start` starts it")
        return problems

    def _ids(self, instance: Instance) -> list[str]:
        if instance.id:
            return [instance.id]
        listed = self._call("instances", region=instance.offer.region, owner=self._owner)
        return [one["id"] for one in listed if one["launch_id"] == instance.launch_id]

    def _order(self, request: LaunchRequest) -> Order:
        user_data = request.user_data
        if not user_data and self._user_data is not None:
            user_data = self._user_data(request)
        return Order(
            token=request.token,
            launch_id=request.launch_id,
            owner=request.owner,
            job=request.job,
            region=request.offer.region,
            zone=request.offer.zone,
            instance_type=request.offer.instance_type,
            market=request.offer.market.value,
            disk_gb=request.disk_gb,
            max_life_s=request.max_life_s,
            count=request.count,
            min_count=request.min_count,
            user_data=user_data,
        )

    def _call(self, op: str, **body: Any) -> Any:
        try:
            return self._client.call(op, **body)
        except Unreachable:
            # A cloud that answers lost this reply only: that is the caller's doubt, not ours to hide.
            if not self._heal or find_cloud(self._client.state_dir) is not None:
                raise
        try:
            start_cloud(self._client.state_dir)
        except UserError as error:
            raise Unreachable(str(error)) from error
        return self._client.call(op, **body)


def _fits(offer: Offer, want: Want) -> bool:
    if want.regions and offer.region not in want.regions:
        return False
    if offer.market not in want.markets:
        return False
    if want.price_max_usd_h is not None and offer.price_usd_h > want.price_max_usd_h:
        return False
    return not want.gpus or (offer.gpu, offer.gpu_count) in map(wish_of, want.gpus)


def _seen(one: dict[str, Any]) -> Seen:
    return Seen(
        id=one["id"],
        launch_id=one["launch_id"],
        token=one["token"],
        job=one["job"],
        owner=one["owner"],
        cloud=CLOUD,
        region=one["region"],
        zone=one["zone"],
        instance_type=one["instance_type"],
        market=Market(one["market"]),
        state=CloudState(one["state"]),
        price_usd_h=one["price_usd_h"],
        started_at=one["started_at"],
        ended_at=one["ended_at"],
        interrupting=one["interrupting"],
        end=PROOFS.get(one["end_code"], EndProof.UNKNOWN),
        end_text=one["end_text"],
        address=one["address"],
    )
