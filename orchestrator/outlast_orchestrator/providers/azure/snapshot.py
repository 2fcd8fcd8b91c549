"""One look at the whole resource group at once, shared by all regions: few calls for all jobs.

Machines are listed; one that is no longer in the list, or that the log says has ended, is asked for by its
name, once: so neither a list that lags nor an old entry of the log is taken for an end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from outlast_orchestrator.core.errors import ProviderError
from outlast_orchestrator.core.ports import Clock
from outlast_orchestrator.providers import marks
from outlast_orchestrator.providers.azure.calls import Calls
from outlast_orchestrator.providers.azure.config import CLOUD, AzureConfig
from outlast_orchestrator.providers.azure.listing import End, end_of, gone_of, is_ours, seen_of
from outlast_orchestrator.providers.azure.surroundings import Surroundings
from outlast_orchestrator.providers.shared_look import Look, SharedLook

ENDS_OF_S = 3600.0
# The log is read rarely; at once when a machine has vanished, and then again until it says why.
LOG_EVERY_S, LOG_AGAIN_S, EXPLAINED_WITHIN_S = 60.0, 10.0, 900.0
LOG_API = "2015-04-01"
LOG_FIELDS = "operationName,status,resourceId,eventTimestamp,caller,httpRequest"


class Snapshots:
    def __init__(self, calls: Calls, config: AzureConfig, clock: Clock, owner: str) -> None:
        self._calls = calls
        self._config = config
        self._clock = clock
        self._owner = owner
        self.surroundings = Surroundings(calls, config, clock, owner)
        self.listing = SharedLook(CLOUD, clock, self._read).listing
        self._known: set[str] = set()  # machines that were there when last looked at
        self._absent: dict[str, float] = {}  # asked for by name, and not there: since when
        self._expected: deque[str] = deque()
        self._ends: dict[str, list[End]] = {}  # by machine
        self._log_s = float("-inf")

    def expect(self, name: str) -> None:
        """A machine of that name may have been made, by another thread: what is known of an earlier one is
        no longer true."""
        self._expected.append(name)

    def ends(self) -> dict[str, list[End]]:
        """By machine, of the last hour. Raises ProviderError."""
        now_at = self._clock.wall_s()
        since = datetime.fromtimestamp(now_at - ENDS_OF_S, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        ours = f"eventTimestamp ge '{since}' and resourceGroupName eq '{self._config.resource_group}'"
        query = {
            "api-version": LOG_API,
            "$filter": ours,
            "$select": LOG_FIELDS,
        }
        path = f"{self._calls.subscription}/providers/Microsoft.Insights/eventtypes/management/values"
        found: dict[str, list[End]] = {}
        for entry in self._calls.read("log", path, query):
            end = end_of(entry)
            if end is not None and marks.launch_of(end.name, self._owner):
                found.setdefault(end.name, []).append(end)
        return found

    def _read(self, begun_s: float) -> Look:
        look = Look(begun_s)
        while self._expected:
            self._absent.pop(self._expected.popleft(), None)
        try:
            machines = self._machines()
            vanished = self._known - machines.keys()
            self._read_log(at_once=self._confirm(vanished, machines))
            self._confirm(self._ends.keys(), machines)
        except ProviderError as error:
            look.problems[""] = str(error)
            return look
        self._known = set(machines)
        trouble = self._look_around(machines)
        for name, one in machines.items():
            look.add(seen_of(one, self._ends.get(name, ()), self.surroundings.address(name), self._owner))
        for left in [] if trouble else self.surroundings.left_over(machines):
            look.add(left)
        # The log does not say in which region a machine was: each region's listing tells of it.
        for region in self._config.regions:
            for name, ends in self._ends.items():
                if name not in machines:
                    look.add(gone_of(ends, self._owner, region))
        return look

    def _machines(self) -> dict[str, dict[str, Any]]:
        where = self._config.resource_group
        found = self._calls.all("instances", lambda sdk: sdk.virtual_machines.list(where))
        return {one["name"].lower(): one for one in found if is_ours(one, self._owner)}

    def _confirm(self, names: Collection[str], machines: dict[str, dict[str, Any]]) -> bool:
        """Whether one of them is newly known not to be there; one that is there joins the machines. Raises
        ProviderError where it can't be known: then nothing is."""
        news = False
        for name in machines:
            self._absent.pop(name, None)
        for name in sorted(set(names) - machines.keys() - self._absent.keys()):
            one = self._calls.machine("instances", name)
            if one is None:
                self._absent[name], news = self._clock.monotonic_s(), True
            else:
                machines[name] = one
        return news

    def _read_log(self, *, at_once: bool) -> None:
        """That it can't be read is no obstacle: an end is proven without it, and explained by the agent."""
        now_s = self._clock.monotonic_s()
        unexplained = [
            name
            for name, since_s in self._absent.items()
            if name not in self._ends and now_s - since_s < EXPLAINED_WITHIN_S
        ]
        due_s = LOG_AGAIN_S if unexplained else LOG_EVERY_S
        if not at_once and now_s - self._log_s < due_s:
            return
        self._log_s = now_s
        with suppress(ProviderError):
            self._ends = self.ends()
        self._absent = {
            name: since_s
            for name, since_s in self._absent.items()
            if name in self._ends or now_s - since_s < ENDS_OF_S
        }

    def _look_around(self, machines: Mapping[str, Any]) -> bool:
        """Whether it went wrong: then addresses are those that are known, and nothing is called left over."""
        try:
            self.surroundings.look(machines)
        except ProviderError:
            return True
        return False
