"""The calls of the local cloud that make something go wrong, at once or by a script."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from outlast_orchestrator.providers.local import clock, processes
from outlast_orchestrator.providers.local.driver import Driver
from outlast_orchestrator.providers.local.faults import Faults
from outlast_orchestrator.providers.local.fleet import Fleet
from outlast_orchestrator.providers.local.records import EndCode, Fault, Interruption, Record, Step
from outlast_orchestrator.providers.local.refusals import CAPACITY, INCORRECT_STATE, INVALID, STATUS, Refused

SCRIPTED = (
    "interrupt", "withdraw", "rebalance", "crash", "freeze", "thaw", "silence", "speak", "cut", "refuse",
    "fail_listing", "lag_listing", "throttle", "lose_reply", "metadata_outage", "clear",
)  # fmt: skip


class Injection:
    """Each public method is one call of the API; its keyword arguments are the body."""

    def __init__(self, fleet: Fleet, faults: Faults, driver: Driver, notice_s: Callable[[], float]) -> None:
        self._fleet = fleet
        self._faults = faults
        self._driver = driver
        self._notice_s = notice_s

    def interrupt(
        self,
        instance: str,
        notice_s: float | None = None,
        notice: bool = True,
        after_s: float = 0.0,
        silent: bool = False,
    ) -> None:
        """The notice comes after `after_s`, the death `notice_s` later; without a notice after `after_s`."""
        starts_at = clock.wall_s() + after_s
        lead_s = (self._notice_s() if notice_s is None else notice_s) if notice else 0.0
        fate = Interruption(starts_at + lead_s, starts_at if notice else None, silent)

        def doom(record: Record) -> Record:
            if not record.living:
                raise Refused(INCORRECT_STATE, f"the instance {record.id} is {record.state.value}")
            return replace(record, interruption=fate)

        self._fleet.change(self._resolve(instance), doom)

    def withdraw(self, instance: str) -> None:
        """The notice disappears, and the instance lives on."""
        self._fleet.change(self._resolve(instance), lambda record: replace(record, interruption=None))

    def rebalance(self, instance: str) -> None:
        now = clock.wall_s()
        self._fleet.change(self._resolve(instance), lambda record: replace(record, rebalance_at=now))

    def crash(self, instance: str, silent: bool = False) -> None:
        """The host fails: no notice, no grace."""
        text = "the host of the instance failed"
        self._fleet.end(self._resolve(instance), EndCode.HOST, text, silent=silent)

    def freeze(self, instance: str) -> None:
        """All processes of the instance stop where they are."""
        processes.freeze(self._fleet.root(self._fleet.get(self._resolve(instance))))

    def thaw(self, instance: str) -> None:
        record = self._fleet.get(self._resolve(instance))
        processes.signal_all(self._fleet.root(record), signal.SIGCONT)

    def silence(self, instance: str = "", for_s: float | None = None) -> None:
        """Bytes between agent and API are held; with "" those of all instances, later ones too."""
        self._window("silence", for_s, instance=self._resolve(instance) if instance else "")
        self._fleet.tick()

    def speak(self, instance: str = "") -> None:
        self._faults.remove("silence", self._resolve(instance) if instance else "")
        self._fleet.tick()

    def cut(self, instance: str) -> None:
        """Ends the connections that a silent death left open, and every other of this instance."""
        self._fleet.relay.cut(self._resolve(instance))

    def refuse(
        self,
        for_s: float | None,
        zone: str = "",
        instance_type: str = "",
        market: str = "",
        code: str = CAPACITY,
    ) -> None:
        if code not in STATUS:
            raise Refused(INVALID, f"{code!r} is none of {', '.join(STATUS)}")
        self._window("refuse", for_s, zone=zone, instance_type=instance_type, market=market, code=code)

    def fail_listing(self, region: str, for_s: float | None) -> None:
        self._window("fail_listing", for_s, region=region)

    def lag_listing(self, lag_s: float) -> None:
        """From now on an instance is missing from listings for so long after its launch."""
        self._faults.remove("lag_listing")
        self._faults.add(Fault("lag_listing", lag_s=lag_s))

    def throttle(self, for_s: float | None, op: str = "") -> None:
        self._window("throttle", for_s, op=op)

    def lose_reply(self, op: str = "launch", times: int = 1) -> None:
        """The next calls of this kind take place, but their caller never hears of it."""
        self._faults.add(Fault("lose_reply", op=op, times=times))

    def metadata_outage(self, for_s: float | None, instance: str = "") -> None:
        self._window("metadata_outage", for_s, instance=self._resolve(instance) if instance else "")

    def clear(self) -> None:
        """Everything that is wrong for a time is over; interruptions already decided stay."""
        self._faults.clear()
        self._driver.clear_steps()
        self._fleet.tick()

    def script(self, steps: list[dict[str, Any]]) -> None:
        """Each step is `{"at_s": seconds from now, "do": call, …its arguments}`."""
        now, made = clock.wall_s(), []
        for step in steps:
            rest = dict(step)
            at_s, do = rest.pop("at_s", None), rest.pop("do", None)
            if do not in SCRIPTED or not isinstance(at_s, (int, float)):
                raise Refused(INVALID, f"a step needs at_s, and a do out of {', '.join(SCRIPTED)}: {step}")
            made.append(Step(now + at_s, do, rest))
        self._driver.add_steps(made)

    def perform(self, step: Step) -> None:
        try:
            getattr(self, step.do)(**step.args)
        except TypeError as error:
            raise Refused(INVALID, f"the step {step.do} does not take {sorted(step.args)}") from error

    def _window(self, kind: str, for_s: float | None, **what: str) -> None:
        until = None if for_s is None else clock.wall_s() + for_s
        self._faults.add(replace(Fault(kind, until), **what))  # type: ignore[arg-type]

    def _resolve(self, instance: str) -> str:
        """An id, or "newest" or "oldest" of those that live."""
        if instance not in ("newest", "oldest"):
            return self._fleet.get(instance).id
        living = [record.id for record in self._fleet.records() if record.living]
        if not living:
            raise Refused(INCORRECT_STATE, f"there is no {instance} instance: none lives")
        return living[-1 if instance == "newest" else 0]
