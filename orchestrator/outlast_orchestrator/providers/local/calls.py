"""The calls of the local cloud that a provider makes: offers, launch, list, end, run on a machine."""

from __future__ import annotations

import base64
import threading
from typing import Any

from outlast.protocol.codec import FormatError, from_json, to_json
from outlast_orchestrator.providers.local import boot, clock, machine_link
from outlast_orchestrator.providers.local.config import CloudConfig, InstanceType
from outlast_orchestrator.providers.local.driver import Driver
from outlast_orchestrator.providers.local.faults import Faults
from outlast_orchestrator.providers.local.fleet import Fleet
from outlast_orchestrator.providers.local.records import EndCode, Order, Record, State, Taken
from outlast_orchestrator.providers.local.refusals import (
    CAPACITY,
    INCORRECT_STATE,
    INTERNAL,
    INVALID,
    THROTTLED,
    TOKEN_MISMATCH,
    UNAVAILABLE,
    Refused,
)
from outlast_orchestrator.providers.local.state import State as Memory

MARKETS = ("spot", "on-demand")
COMMAND_LIMIT_S = 120.0


class Calls:
    """Each public method is one call of the API; its arguments are the body, its result the answer."""

    def __init__(self, memory: Memory, fleet: Fleet, faults: Faults, driver: Driver) -> None:
        self._memory = memory
        self._fleet = fleet
        self._faults = faults
        self._driver = driver
        self._launching = threading.Lock()

    def offers(self) -> list[dict[str, Any]]:
        self._throttle("offers")
        config = self._config()
        found = []
        for region, zones in sorted(config.zones.items()):
            for zone in zones:
                for kind in config.types:
                    for market in MARKETS:
                        price = (
                            self._driver.spot_usd_h(zone, kind.name)
                            if market == "spot"
                            else kind.on_demand_usd_h
                        )
                        found.append(
                            {
                                "region": region,
                                "zone": zone,
                                "instance_type": kind.name,
                                "market": market,
                                "price_usd_h": price,
                                "on_demand_usd_h": kind.on_demand_usd_h,
                                "gpu": kind.gpu,
                                "gpu_count": kind.gpu_count,
                            }
                        )
        return found

    def launch(self, order: dict[str, Any]) -> dict[str, Any]:
        """Starts `count` machines or, where there is less room, at least `min_count`."""
        self._throttle("launch")
        try:
            asked = from_json(Order, order)
        except FormatError as error:
            raise Refused(INVALID, str(error)) from error
        with self._launching:
            if (taken := self._taken(asked)) is not None:
                return {"instances": list(taken.instances)}
            kind = self._validate(asked)
            room = self._room(asked, kind)
            if room < asked.min_count:
                text = f"there is no {asked.market} capacity for {kind.name} in {asked.zone}"
                raise Refused(CAPACITY, text)
            price = kind.on_demand_usd_h
            if asked.market == "spot":
                price = self._driver.spot_usd_h(asked.zone, kind.name)
            records = [self._fleet.prepare(asked, price) for _ in range(min(asked.count, room))]
            ids = tuple(record.id for record in records)
            self._memory.save_launch(Taken(asked, clock.wall_s(), ids), records)
        self._fleet.take_up(records)
        return {"instances": list(ids)}

    def instances(self, region: str, owner: str = "") -> list[dict[str, Any]]:
        """All of a region, with "" of every owner; ended ones too, as long as they are remembered."""
        self._throttle("instances")
        if region not in self._config().zones:
            raise Refused(INVALID, f"there is no region {region!r}")
        if self._faults.listing_fails(region):
            raise Refused(INTERNAL, f"an internal error occurred in {region}")
        now = clock.wall_s()
        shown_before = now - self._faults.listing_lag_s()
        return [
            describe(record, now)
            for record in self._fleet.records()
            if record.order.region == region
            and owner in ("", record.order.owner)
            and record.created_at <= shown_before
        ]

    def terminate(self, instance: str) -> None:
        self._throttle("terminate")
        self._fleet.get(instance)
        self._fleet.end(instance, EndCode.BY_REQUEST, "ended by a call of the API", orderly=True)

    def execute(
        self, instance: str, argv: list[str], stdin: str = "", timeout_s: float = COMMAND_LIMIT_S
    ) -> dict[str, Any]:
        """Runs a command on a machine, `stdin` being base64, and answers its exit code and output."""
        record = self._running(instance)
        try:
            ran = machine_link.run(
                self._fleet.folder(record.id), argv, base64.b64decode(stdin), min(timeout_s, COMMAND_LIMIT_S)
            )
        except machine_link.MachineDown as error:
            raise Refused(UNAVAILABLE, f"{instance}: {error}") from error
        return {"code": ran.code, "stdout": ran.stdout, "stderr": ran.stderr}

    def start(self, instance: str, name: str, key: str, argv: list[str], restarts: int = 0) -> None:
        """Keeps a command running in the background; with the same key, once."""
        record = self._running(instance)
        try:
            folder = self._fleet.folder(record.id)
            machine_link.start(folder, name, key, argv, restarts, COMMAND_LIMIT_S)
        except machine_link.MachineDown as error:
            raise Refused(UNAVAILABLE, f"{instance}: {error}") from error

    def set_api(self, address: str, owner: str = "", instance: str = "") -> None:
        """Where relays lead to: for one instance, for all of an owner, or for all."""
        if instance:
            self._fleet.lead(instance, address)
            return
        self._memory.save_api(owner, address)
        for record in self._fleet.records():
            if record.state is not State.ENDED and owner in ("", record.order.owner):
                self._fleet.lead(record.id, address)

    def console(self, instance: str) -> str:
        return boot.console(self._fleet.folder(self._fleet.get(instance).id))

    # the parts of it

    def _config(self) -> CloudConfig:
        config = self._memory.config()
        assert config is not None
        return config

    def _throttle(self, op: str) -> None:
        if self._faults.throttled(op):
            raise Refused(THROTTLED, f"too many calls of {op}")

    def _taken(self, asked: Order) -> Taken | None:
        taken = self._memory.taken(asked.token)
        if taken is None:
            return None
        if clock.wall_s() > taken.at + self._config().token_life_s:
            self._memory.forget_token(asked.token)
            return None
        if taken.order != asked:
            changed = [name for name, value in to_json(taken.order).items() if to_json(asked)[name] != value]
            text = f"the token {asked.token} was used before with another {', '.join(changed)}"
            raise Refused(TOKEN_MISMATCH, text)
        return taken

    def _validate(self, asked: Order) -> InstanceType:
        config = self._config()
        kind = config.type_named(asked.instance_type)
        if not asked.token or kind is None or asked.market not in MARKETS:
            text = f"token {asked.token!r}, type {asked.instance_type!r} or market {asked.market!r} is wrong"
            raise Refused(INVALID, text)
        if config.region_of(asked.zone) != asked.region:
            raise Refused(INVALID, f"there is no zone {asked.zone!r} in region {asked.region!r}")
        if not 1 <= asked.min_count <= asked.count:
            raise Refused(INVALID, f"min_count {asked.min_count} and count {asked.count} do not fit")
        code = self._faults.refusal(asked.zone, asked.instance_type, asked.market)
        if code is not None:
            raise Refused(code, f"{asked.market} {asked.instance_type} in {asked.zone} is refused: {code}")
        return kind

    def _room(self, asked: Order, kind: InstanceType) -> int:
        used = sum(
            record.state is not State.ENDED
            and record.pool == (asked.zone, asked.instance_type)
            and record.order.market == asked.market
            for record in self._fleet.records()
        )
        spot = asked.market == "spot"
        return (self._driver.capacity(asked.zone, kind.name) if spot else kind.capacity) - used

    def _running(self, instance: str) -> Record:
        record = self._fleet.get(instance)
        if record.state is not State.RUNNING:
            raise Refused(INCORRECT_STATE, f"the instance {instance} is {record.state.value}")
        return record


def describe(record: Record, now: float) -> dict[str, Any]:
    """One instance as a listing shows it."""
    order = record.order
    return {
        "id": record.id,
        "launch_id": order.launch_id,
        "token": order.token,
        "job": order.job,
        "owner": order.owner,
        "region": order.region,
        "zone": order.zone,
        "instance_type": order.instance_type,
        "market": order.market,
        "price_usd_h": record.price_usd_h,
        "state": record.state.value,
        "started_at": record.started_at,
        "ended_at": record.ended_at,
        "interrupting": record.noticed(now),
        "end_code": record.end_code.value if record.end_code is not None else "",
        "end_text": record.end_text,
        "address": "127.0.0.1",
        "relay_port": record.relay_port,
        "metadata_port": record.metadata_port,
    }
