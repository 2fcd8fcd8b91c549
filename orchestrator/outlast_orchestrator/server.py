"""The composition root: turns settings into concrete objects, and runs them until told to stop."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from outlast import __version__
from outlast.bucket.client import open_bucket
from outlast_orchestrator.clouds import WITHOUT_ACCOUNT, Cloud, Place, open_cloud
from outlast_orchestrator.controller.calls import ThreadCalls
from outlast_orchestrator.controller.clock import SystemClock, iso
from outlast_orchestrator.controller.heap import calm
from outlast_orchestrator.controller.log import write_log
from outlast_orchestrator.controller.loop import DAY_S, Controller, Parts
from outlast_orchestrator.controller.node_settings import NodeSettings
from outlast_orchestrator.controller.nodes import NodeRegistry
from outlast_orchestrator.controller.observe import cautious
from outlast_orchestrator.controller.pointers import BucketPointers
from outlast_orchestrator.controller.schedule import Due, start_schedule
from outlast_orchestrator.controller.strays import StrayFinder
from outlast_orchestrator.controller.sweep import Adoption
from outlast_orchestrator.core.decide import decide
from outlast_orchestrator.core.errors import OutlastError, ProviderError, UserError
from outlast_orchestrator.core.ports import Provider
from outlast_orchestrator.core.tokens import hash_token
from outlast_orchestrator.core.types import LaunchRequest, Market, Offer, Want
from outlast_orchestrator.core.view import Limits
from outlast_orchestrator.policies import POLICIES
from outlast_orchestrator.settings import Settings, load_settings
from outlast_orchestrator.storage.kept import KeptBuckets
from outlast_orchestrator.storage.keys.proof import problems
from outlast_orchestrator.storage_keys import open_credentials
from outlast_orchestrator.store.backup import Contents, Stamp, back_up
from outlast_orchestrator.store.db import SqlStore, open_store
from outlast_orchestrator.store.lock import lock_store
from outlast_orchestrator.store.private import node_key, read_key, write_private
from outlast_orchestrator.store.restore import Restore, put_back
from outlast_orchestrator.store.secrets import SecretFiles
from outlast_orchestrator.web.app import Services, create_app
from outlast_orchestrator.web.auth import issue_token
from outlast_orchestrator.web.serve import ApiServer, Listen
from outlast_orchestrator.web.services import CloudCheck

STOP_LIMIT_S = 10.0


class Server:
    """Everything of one server process. `run` blocks; `stop` may come from any thread or signal."""

    def __init__(self, settings: Settings, restore: Restore | None = None) -> None:
        """Raises UserError and StoreError, one line each; then nothing was changed."""
        self._settings = settings
        self._clock = SystemClock()
        self._stop = threading.Event()
        self._lock = lock_store(settings.store_url, os.getpid())
        self._restored = restore is not None
        if restore is not None:
            sys.stderr.write(put_back(settings.store_url, settings.home, restore, self._clock) + "\n")
        self._store = open_store(settings.store_url, self._clock)
        holder = self._clock.token(8)
        if self._lock is not None:
            self._store.seize(holder, settings.leader_ttl_s)
        self._alarm = threading.Event()
        self._nodes = NodeRegistry(self._clock, self._alarm.set, lease_s=settings.limits.lease_s)
        self._calls = ThreadCalls(self._clock, self._alarm.set)
        self._due = Due(self._alarm.set)
        self._clouds: dict[str, Cloud] = {}
        self._buckets = KeptBuckets(self._clock)
        self._credentials = open_credentials(settings)
        self._api = ApiServer(create_app(self._services()), self._listen())
        api_url = settings.api_url or self._api.url
        key = node_key(settings.home, self._clock)
        place = Place(settings, self._store.owner(), api_url, key)
        configured = WITHOUT_ACCOUNT if settings.providers is None else settings.providers
        for name, options in configured.items():
            self._clouds[name] = open_cloud(name, options, place)
        parts = self._parts(holder, place)
        known = settings.limits.limits()
        adoption = Adoption(key, known.instance_life_max_s, known.orphan_grace_s)
        self._strays = StrayFinder(parts.providers, self._store, self._clock, adoption)
        self._controller = Controller(parts, self._alarm)

    def _listen(self) -> Listen:
        settings = self._settings
        return Listen(settings.host, settings.port, settings.cert_file, settings.key_file)

    def _services(self) -> Services:
        return Services(
            store=self._store,
            nodes=self._nodes,
            clock=self._clock,
            wake=self._alarm.set,
            buckets=self._buckets,
            storage=self._settings.storage_url,
            offers=self._offers,
            policies=POLICIES,
            strays=lambda: self._strays.find(),
            end_strays=lambda ids, by: self._strays.end(ids, by),
            check=self._check,
            next_wake_s=lambda job: self._controller.next_wake_s(job),
            notice_s=lambda cloud: self._limits([cloud]).notice_s,
            leading=lambda: self._controller.leading(),
            secrets=SecretFiles(self._settings.home),
            credentials=self._credentials,
        )

    def _parts(self, holder: str, place: Place) -> Parts:
        settings, times = self._settings, self._settings.limits
        switch_off_s = (times.over_off_s, times.fenced_off_s)
        return Parts(
            clock=self._clock,
            store=self._store,
            nodes=self._nodes,
            calls=self._calls,
            pointers=BucketPointers(self._buckets, self._clock),
            providers={name: cloud.provider for name, cloud in self._clouds.items()},
            remotes={name: cloud.remote for name, cloud in self._clouds.items()},
            decide=decide,
            policies=POLICIES,
            limits=self._limits,
            node=NodeSettings(
                place.api_url,
                times.lease_s,
                place.key,
                self._user_data,
                *switch_off_s,
                job_keys=self._credentials is not None,
            ),
            due=self._due,
            holder=holder,
            sleep=self._clock.sleep,
            leader_ttl_s=settings.leader_ttl_s,
            keep_events_s=settings.keep_events_days * DAY_S,
            storage=settings.storage_url,
            restored=self._restored,
        )

    def _limits(self, names: Sequence[str]) -> Limits:
        """Of these clouds together; of one that is not configured any more, the settings' own."""
        known = [self._clouds[name].limits for name in names if name in self._clouds]
        return cautious(known, self._settings.limits.limits())

    def _user_data(self, request: LaunchRequest) -> str:
        name = request.offer.cloud
        return self._clouds[name].user_data(request) if name in self._clouds else ""

    # what the API asks for

    def _offers(self, want: Want) -> list[Offer]:
        """Raises the first refusal only when no cloud answered."""
        found: list[Offer] = []
        refusal: ProviderError | None = None
        for name, cloud in self._clouds.items():
            if want.clouds and name not in want.clouds:
                continue
            offers, error = _ask(cloud.provider, want)
            found, refusal = found + offers, refusal or error
        if not found and refusal is not None:
            raise refusal
        return found

    def _check(self) -> list[CloudCheck]:
        found = [CloudCheck(name, one.way, _problems(one.provider)) for name, one in self._clouds.items()]
        if self._credentials is None:
            return found
        wrong = problems(self._credentials, self._settings.storage_url, "outlast-doctor")
        return [*found, CloudCheck("bucket keys", self._credentials.about, tuple(wrong))]

    def run(self) -> None:
        """Until `stop`. Running jobs are left alone, and found again by the next server."""
        home = self._settings.home
        _admin_token(home, self._store, self._clock)
        controller = threading.Thread(target=self._controller.run, name="controller", daemon=True)
        calm()
        self._api.start()
        schedule = start_schedule(self._due)
        controller.start()
        about = {"url": self._api.url, "pid": os.getpid(), "started": iso(self._clock.wall_s())}
        write_private(home / "server.json", json.dumps({**about, "version": __version__}))
        sys.stderr.write(f"the server listens on {self._api.url} (pid {os.getpid()})\n")
        self._stop.wait()
        (home / "server.json").unlink(missing_ok=True)
        schedule.shutdown(wait=False)
        self._controller.stop()
        controller.join(STOP_LIMIT_S)
        self._api.stop()
        self.close()

    def stop(self) -> None:
        self._stop.set()

    def close(self) -> None:
        self._calls.close()
        self._store.close()
        if self._lock is not None:
            self._lock.release()


def _ask(provider: Provider, want: Want) -> tuple[list[Offer], ProviderError | None]:
    try:
        return provider.offers(want), None
    except ProviderError as error:
        return [], error


def _problems(provider: Provider) -> tuple[str, ...]:
    """Also what is only found by asking for offers: rights, and a network that does not lead there."""
    try:
        return tuple(provider.check()) or tuple(_no_offers(provider.offers(Want(markets=tuple(Market)))))
    except ProviderError as error:
        return (str(error),)


def _no_offers(offers: Sequence[Offer]) -> list[str]:
    return [] if offers else ["it offers no machine type at all: look at instance_types and regions"]


def _admin_token(home: Path, store: SqlStore, clock: SystemClock) -> None:
    """The token of whoever may read the home folder: kept as long as the store knows it."""
    file = home / "token"
    known = store.token(hash_token(file.read_text().strip())) if file.exists() else None
    if known is None or known[2] <= clock.wall_s():
        write_private(file, issue_token(store, clock, "home"))


def backup(settings: Settings, target: Path, overwrite: bool) -> Contents:
    """What `outlast admin backup` does, whether a server runs or not. Raises UserError, StoreError."""
    stamp = Stamp(SystemClock().wall_s(), __version__, read_key(settings.home))
    return back_up(settings.store_url, target, stamp, overwrite=overwrite)


def build(settings: Settings, restore: Restore | None = None) -> Server:
    """Makes the home folder and everything in it. Raises UserError and StoreError."""
    try:
        open_bucket(settings.storage_url)  # only its address is looked at: the bucket may be away for now
    except ValueError as error:
        raise UserError(f"storage: {error}") from error
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not settings.storage:
            (settings.home / "bucket").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"the home folder {settings.home} can't be used ({error.strerror}): set OUTLAST_HOME"
        ) from error
    return Server(settings, restore)


def serve(settings: Settings, from_backup: Path | None = None, overwrite: bool = False) -> int:
    """What `outlast server start` does: builds the server and runs it until a signal comes."""
    server = build(settings, None if from_backup is None else Restore(from_backup, overwrite))
    write_log(settings.home)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: server.stop())
    server.run()
    return 0


def main(arguments: Sequence[str] = ()) -> int:
    """`python -m outlast_orchestrator.server`: errors are one line, without a traceback."""
    parser = argparse.ArgumentParser(prog="outlast server")
    parser.add_argument("--from-backup", type=Path)
    parser.add_argument("--force", action="store_true")
    asked = parser.parse_args(arguments)
    try:
        return serve(load_settings(), asked.from_backup, asked.force)
    except OutlastError as error:
        sys.stderr.write(f"outlast: {error}\n")
        return 2 if isinstance(error, UserError) else 4  # as docs/cli.md has it


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
