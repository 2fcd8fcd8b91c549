"""A controller that can be killed or frozen at any of its operations, on a real store, cloud and bucket.

Everything that outlives a controller is real: the SQLite file, the local cloud's process with its machines
and their agents, the bucket's folder. The controllers themselves live and die inside the test's process,
so that their deaths hit one exact operation; a dead one never does another.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from tests.chaos.controller_points import Death, Tap, Tapped

from outlast.bucket.client import open_bucket
from outlast.bucket.generations import read_pointer
from outlast.protocol.messages import Work
from outlast.protocol.objects import Pointer, job_prefix
from outlast_orchestrator.controller.calls import ThreadCalls
from outlast_orchestrator.controller.clock import SystemClock
from outlast_orchestrator.controller.loop import Controller, Parts
from outlast_orchestrator.controller.node_settings import NodeSettings
from outlast_orchestrator.controller.nodes import NodeRegistry
from outlast_orchestrator.controller.pointers import BucketPointers
from outlast_orchestrator.controller.schedule import SWEEP, Due
from outlast_orchestrator.core.decide import decide
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.ports import Pointers, Provider, Remote, Store
from outlast_orchestrator.core.types import Job, JobState, LaunchRequest, Market, RetryPlan, Want, Wanted
from outlast_orchestrator.policies import POLICIES
from outlast_orchestrator.providers.local.control import CloudControl
from outlast_orchestrator.providers.local.provider import LocalProvider
from outlast_orchestrator.providers.local.remote import LocalRemote
from outlast_orchestrator.remote.deadman import Deadman, user_data
from outlast_orchestrator.settings import LimitSettings
from outlast_orchestrator.store.db import SqlStore, open_store
from outlast_orchestrator.web.app import Services, create_app
from outlast_orchestrator.web.serve import ApiServer, Listen

LIMIT_S = 60.0
LOOK_S = 0.05
KEY = b"k" * 32
STORE_OPS = (
    "lead",
    "leads",
    "commit",
    "jobs",
    "instances",
    "open_attempts",
    "progress",
    "blocks",
    "attempts",
)
PROVIDER_OPS = ("offers", "launch", "regions", "instances", "terminate")
BUCKET_OPS = ("read", "take_generation", "status_bodies")
MACHINE_LIFE_S = 3600.0
LEADER_TTL_S = 3.0


# Of one process only one at a time: alembic at a store's tables, FastAPI at a set of routes.
_opening = threading.Lock()


def _open(url: str) -> SqlStore:
    with _opening:
        return open_store(url, SystemClock())


def _user_data(request: LaunchRequest) -> str:
    return user_data(Deadman(max_life_s=request.max_life_s))


def every(seconds: float, do: Callable[[], None]) -> Callable[[], None]:
    """Called all the time, it does so now and then."""
    last_s = float("-inf")

    def attend() -> None:
        nonlocal last_s
        if time.monotonic() - last_s >= seconds:
            last_s = time.monotonic()
            do()

    return attend


class Incarnation:
    """One controller process, as far as anybody outside can tell."""

    def __init__(self, rig: Rig, tap: Tap, *, alone: bool) -> None:
        """`alone`: it has proof that no other lives, as the lock of a store's file gives it."""
        self.tap = tap
        self._clock = clock = SystemClock()
        self._store = _open(rig.store_url)
        self._alarm = threading.Event()
        self._stop = threading.Event()
        self.crash: BaseException | None = None
        nodes = NodeRegistry(clock, self._alarm.set)
        self._calls = ThreadCalls(clock, self._alarm.set)
        services = Services(
            self._store, nodes, clock, self._alarm.set, open_bucket, rig.storage, lambda _: []
        )
        with _opening:
            self._api = ApiServer(create_app(services), Listen())
        self._api.start()
        owner, holder = self._store.owner(), clock.token(8)
        rig.control.set_api(self._api.url, owner=owner)
        if alone:
            self._store.seize(holder, LEADER_TTL_S)
        folder = rig.control.state_dir
        provider = LocalProvider(folder, clock, owner)
        limits = LimitSettings(
            launch_lag_s=rig.launch_lag_s,
            token_life_s=provider.token_life_s,
            instance_life_max_s=MACHINE_LIFE_S,
            orphan_grace_s=1.0,
            drain_limit_s=2.0,
        ).limits()
        self._due = Due(self._alarm.set)
        parts = Parts(
            clock=clock,
            store=cast("Store", Tapped(self._store, "store", tap, STORE_OPS)),
            nodes=nodes,
            calls=self._calls,
            pointers=cast("Pointers", Tapped(BucketPointers(open_bucket, clock), "bucket", tap, BUCKET_OPS)),
            providers={"local": cast("Provider", Tapped(provider, "cloud", tap, PROVIDER_OPS))},
            remotes={"local": cast("Remote", Tapped(LocalRemote(folder, clock), "node", tap, ("install",)))},
            decide=decide,
            policies=POLICIES,
            limits=lambda _clouds: limits,
            node=NodeSettings(self._api.url, limits.lease_s, KEY, _user_data),
            due=self._due,
            holder=holder,
            sleep=clock.sleep,
            leader_ttl_s=LEADER_TTL_S,
        )
        self._controller = Controller(parts, self._alarm)
        self._thread = threading.Thread(target=self._run, name="controller", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        """As `Controller.run`, but that nothing unforeseen is forgiven."""
        try:
            while not self._stop.is_set():
                wait_s = self._controller.tick()
                self._alarm.wait(wait_s)
                self._stop.wait(0.02)
                self._alarm.clear()
        except Death:
            return
        except BaseException as error:  # noqa: BLE001  # for the test to see
            self.crash = error

    def leads(self) -> bool:
        return self._controller.leading()

    def deaf(self) -> None:
        """A stopped process answers nobody: its agents turn to whoever does."""
        self._api.stop()

    def sweep(self) -> None:
        """What the schedule does every two minutes."""
        self._due.mark(SWEEP)

    def end(self) -> None:
        """What is left of it goes: threads, port, files. Nothing is said to anybody."""
        self.tap.kill()
        self._stop.set()
        self._alarm.set()
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive(), "the controller's thread does not end"
        self._api.stop()
        self._calls.close()
        self._store.close()
        assert self.crash is None, repr(self.crash)


class Rig:
    """One store, one bucket and one owner on a cloud that may serve others too."""

    def __init__(self, folder: Path, control: CloudControl) -> None:
        folder.mkdir(parents=True)
        (folder / "bucket").mkdir()
        self.folder = folder
        self.control = control
        self.store_url = f"sqlite:///{folder / 'outlast.db'}"
        self.storage = (folder / "bucket").as_uri()
        self.store: SqlStore = _open(self.store_url)  # a person's look into it
        self.launch_lag_s = LocalProvider.launch_lag_s
        self.track = folder / "track"
        self.go = folder / "go"
        self.machine_room: list[Incarnation] = []  # the newest is the last
        self.attend: Callable[[], None] = lambda: None  # called while a test waits

    def start(self, tap: Tap | None = None, *, alone: bool = True) -> Incarnation:
        incarnation = Incarnation(self, tap or Tap(), alone=alone)
        self.machine_room.append(incarnation)
        return incarnation

    def close(self) -> None:
        """Whoever still has machines loses them here."""
        for incarnation in self.machine_room:
            incarnation.end()
        self.store.close()

    def back_up(self) -> Path:
        """The store as it is now, in a file."""
        file = self.folder / "backup.db"
        with (
            closing(sqlite3.connect(self.folder / "outlast.db")) as now,
            closing(sqlite3.connect(file)) as then,
        ):
            now.backup(then)
        return file

    def put_back(self, backup: Path) -> None:
        """Only while no controller lives."""
        self.store.close()
        for path in self.folder.glob("outlast.db*"):
            path.unlink()
        backup.rename(self.folder / "outlast.db")
        self.store = _open(self.store_url)

    # jobs

    def submit(self, run: str, job_id: str = "job-1") -> None:
        owner = self.store.owner()
        work = Work(job_id, owner, 1, run, env={"TRACK": str(self.track), "GO": str(self.go)})
        want = Want(markets=(Market.SPOT,), disk_gb=1)
        job = Job(job_id, job_id, owner, time.time(), 1, want, work, RetryPlan(), self.storage)
        self.store.submit(job, Event(Kind.JOB_SUBMITTED, "submitted", job_id))

    def wish(self, job_id: str, **changes: Any) -> None:
        job = self.store.job(job_id)
        assert job is not None
        wished = replace(job, wanted_number=job.wanted_number + 1, **changes)
        self.store.wish(wished, Event(Kind.JOB_WANTED, "a test's wish", job_id))

    def cancel(self, job_id: str = "job-1") -> None:
        self.wish(job_id, wanted=Wanted.CANCELLED, wanted_by="cancelled by a test")

    def state(self, job_id: str = "job-1") -> JobState | None:
        found = {progress.job: progress.state for progress in self.store.progress()}
        return found.get(job_id)

    def pointer(self, job_id: str = "job-1") -> Pointer | None:
        bucket = open_bucket(self.storage, job_prefix(job_id))
        found = read_pointer(bucket, self.store.owner(), job_id)
        return None if found is None else found[0]

    # looking

    def machines(self) -> list[dict[str, Any]]:
        """All that the cloud ever had of this owner, asked of the cloud."""
        return [one for one in self.control.instances() if one["owner"] == self.store.owner()]

    def living(self) -> list[dict[str, Any]]:
        return [one for one in self.machines() if one["state"] != "ended"]

    def until(self, what: str, test: Callable[[], Any], limit_s: float = LIMIT_S) -> Any:
        deadline_s = time.monotonic() + limit_s
        while not (found := test()):
            assert time.monotonic() < deadline_s, f"not within {limit_s:.0f} s: {what}\n{self.story()}"
            time.sleep(LOOK_S)
            self.attend()
        return found

    def story(self) -> str:
        lines = [f"{e.seq} {e.kind.value} g{e.attempt} {e.why}" for e in self.store.events(None, 0, 1000)]
        lines += [f"cloud: {m['id']} {m['launch_id']} {m['state']} {m['end_code']}" for m in self.machines()]
        lines += [f"record: {r.launch_id} {r.phase.value} {r.asked.value}" for r in self.store.instances()]
        return "\n".join(lines)
