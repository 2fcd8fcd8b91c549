"""What is wrong with the cloud right now: the faults that were asked for and are not over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from outlast_orchestrator.providers.local.records import Fault
from outlast_orchestrator.providers.local.state import State


class Faults:
    """Thread-safe; kept in the state, so that a restarted cloud is as faulty as before."""

    def __init__(self, state: State, now: Callable[[], float]) -> None:
        self._state = state
        self._now = now
        self._lock = threading.Lock()
        self._faults = state.faults()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._save([*self._faults, fault])

    def remove(self, kind: str, instance: str = "") -> None:
        """Ends the faults of a kind: those of one instance, or with "" all."""
        with self._lock:
            self._save([f for f in self._faults if f.kind != kind or (instance and f.instance != instance)])

    def clear(self) -> None:
        with self._lock:
            self._save([])

    def refusal(self, zone: str, instance_type: str, market: str) -> str | None:
        """The error code for a launch in that pool, if it is refused."""
        for fault in self._active("refuse"):
            if (
                fault.zone in ("", zone)
                and fault.instance_type in ("", instance_type)
                and fault.market in ("", market)
            ):
                return fault.code
        return None

    def listing_fails(self, region: str) -> bool:
        return any(fault.region == region for fault in self._active("fail_listing"))

    def listing_lag_s(self) -> float:
        return max((fault.lag_s for fault in self._active("lag_listing")), default=0.0)

    def throttled(self, op: str) -> bool:
        return any(fault.op in ("", op) for fault in self._active("throttle"))

    def loses_reply(self, op: str) -> bool:
        """Whether the reply to this call gets lost; asking counts."""
        with self._lock:
            for number, fault in enumerate(self._faults):
                if fault.kind == "lose_reply" and fault.op == op and fault.times > 0:
                    left = replace(fault, times=fault.times - 1)
                    rest = [left] if left.times else []
                    self._save([*self._faults[:number], *rest, *self._faults[number + 1 :]])
                    return True
        return False

    def silent(self, instance: str) -> bool:
        return any(fault.instance in ("", instance) for fault in self._active("silence"))

    def metadata_out(self, instance: str) -> bool:
        return any(fault.instance in ("", instance) for fault in self._active("metadata_outage"))

    def _active(self, kind: str) -> list[Fault]:
        now = self._now()
        with self._lock:
            if any(fault.until is not None and fault.until <= now for fault in self._faults):
                self._save([f for f in self._faults if f.until is None or f.until > now])
            return [fault for fault in self._faults if fault.kind == kind]

    def _save(self, faults: list[Fault]) -> None:
        self._faults = faults
        self._state.save_faults(faults)
