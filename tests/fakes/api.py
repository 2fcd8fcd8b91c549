"""The real API on a loopback socket, over a real store and a folder as bucket, for tests of web and cli."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx

from outlast.bucket.client import open_bucket
from outlast.bucket.manifest import hash_bytes, manifest_bytes, manifest_ref
from outlast.bucket.outputs import OutputEntry, OutputIndex, index_key, object_key
from outlast.ports import Bucket
from outlast.protocol.codec import dump
from outlast.protocol.messages import Work
from outlast.protocol.objects import (
    FORMAT,
    POINTER_KEY,
    Confidence,
    FileEntry,
    Manifest,
    ManifestRef,
    Pointer,
    PointerState,
    checkpoint_name,
    data_prefix,
    job_prefix,
)
from outlast_orchestrator.controller.clock import SystemClock
from outlast_orchestrator.controller.nodes import NodeRegistry
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.ports import Credentials, Row, Term
from outlast_orchestrator.core.tokens import hash_token
from outlast_orchestrator.core.types import (
    Attempt,
    Instance,
    InstancePhase,
    Job,
    JobState,
    LaunchRequest,
    Market,
    Offer,
    Progress,
    RetryPlan,
    Want,
)
from outlast_orchestrator.core.view import CloudState, Ended, Orphan, Seen, Strays
from outlast_orchestrator.store.db import SqlStore, open_store
from outlast_orchestrator.store.secrets import SecretFiles
from outlast_orchestrator.web.app import Services, create_app
from outlast_orchestrator.web.auth import issue_token
from outlast_orchestrator.web.serve import ApiServer, Listen
from outlast_orchestrator.web.services import CloudCheck

OFFER = Offer("here", "r1", "r1-a", "cpu-1", Market.SPOT, 0.30, 1.00)
DEARER = replace(OFFER, zone="r1-b", price_usd_h=0.50)
STRAY = Seen(
    "i-stray", "l-stray", "t", "", "own", "here", "r1", "r1-a", "cpu-1", Market.SPOT, CloudState.RUNNING, 0.3
)
TERM_S = 600.0
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # made once, and without reading all the world's authorities


@dataclass
class Api:
    """What a test can turn: the store as the leader would, the nodes, the bucket."""

    folder: Path
    store: SqlStore
    clock: SystemClock = field(default_factory=SystemClock)
    woken: int = 0
    offers: list[Offer] = field(default_factory=lambda: [DEARER, OFFER])
    url: str = ""
    token: str = ""
    leading: bool = True
    clouds: list[CloudCheck] = field(default_factory=list)
    credentials: Credentials | None = None
    server: ApiServer | None = None
    strays: Strays = field(
        default_factory=lambda: Strays((Orphan(STRAY, False, "its job is not known here"),))
    )
    ended: list[tuple[str, str]] = field(default_factory=list)  # ids that were named, and who did

    def __post_init__(self) -> None:
        self.nodes = NodeRegistry(self.clock)
        self.term = self.store.lead("test", TERM_S)
        assert self.term is not None

    @property
    def storage(self) -> str:
        return f"file://{self.folder / 'bucket'}"

    def bucket(self, job: str) -> Bucket:
        return open_bucket(self.storage, job_prefix(job))

    def leave(self, job: Job, outputs: dict[str, bytes], complete: bool = True) -> None:
        """Outputs as the agent of generation 1 would leave them."""
        bucket, entries = self.bucket(job.id), []
        for path, body in outputs.items():
            key = object_key(hash_bytes(body))
            bucket.create(key, body)
            entries.append(OutputEntry(path, key, len(body), hash_bytes(body)))
        bucket.put(index_key(1), dump(OutputIndex(FORMAT, 1, tuple(entries), complete)))

    def keep(
        self,
        job: Job,
        *steps: int,
        state: PointerState = PointerState.RUNNING,
        pinned: tuple[str, ...] = (),
        more: Mapping[str, bytes] = MappingProxyType({}),
    ) -> tuple[ManifestRef, ...]:
        """Whole checkpoints of generation 1, each the parent of the next; the pointer keeps them all."""
        bucket, refs = self.bucket(job.id), list[ManifestRef]()
        for number, step in enumerate(steps):
            name = checkpoint_name(step, 1, f"{number:08x}")
            files = []
            known = {"model.bin": f"step {step}".encode() * 100, "deep/config.json": b"{}"}
            for path, body in {**known, **more}.items():
                key = f"{data_prefix(name)}{path}"
                bucket.create(key, body)
                files.append(FileEntry(path, key, len(body), hash_bytes(body)))
            manifest = Manifest(
                FORMAT, job.owner, job.id, 1, "a1", name, step, "2026-01-01T00:00:00Z", 1, "files",
                Confidence.STRONG, tuple(files), refs[-1] if refs else None,
            )  # fmt: skip
            refs.append(manifest_ref(manifest))
            bucket.create(refs[-1].key, manifest_bytes(manifest))
        self.point(job, tuple(refs), state, pinned)
        return tuple(refs)

    def point(
        self, job: Job, refs: tuple[ManifestRef, ...], state: PointerState, pinned: tuple[str, ...] = ()
    ) -> None:
        """The pointer as the attempt would write it."""
        at = "2026-01-01T00:00:00Z"
        pointer = Pointer(
            FORMAT, job.owner, job.id, 1, "w", (), 1, state, refs[-1] if refs else None, refs, at, pinned
        )
        self.bucket(job.id).put(POINTER_KEY, dump(pointer))

    def _end_strays(self, ids: Sequence[str], by: str) -> list[Ended]:
        self.ended += [(one, by) for one in ids]
        return [Ended(one, "" if one == STRAY.id else "the cloud said no") for one in ids]

    def wake(self) -> None:
        self.woken += 1

    def services(self) -> Services:
        return Services(
            store=self.store,
            nodes=self.nodes,
            clock=self.clock,
            wake=self.wake,
            buckets=open_bucket,
            storage=self.storage,
            offers=lambda _want: list(self.offers),
            strays=lambda: self.strays,
            end_strays=self._end_strays,
            check=lambda: list(self.clouds),
            next_wake_s=lambda _job: 7.0,
            leading=lambda: self.leading,
            secrets=SecretFiles(self.folder, {}),
            credentials=self.credentials,
        )

    def start(self, port: int = 0) -> None:
        self.server = ApiServer(create_app(self.services()), Listen(port=port))
        self.server.start()
        self.url = self.server.url
        if not self.token:
            self.token = issue_token(self.store, self.clock, "test")

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop()
            self.server = None

    def client(self, token: str | None = None) -> httpx.Client:
        bearer = self.token if token is None else token
        headers = {"Authorization": f"Bearer {bearer}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False, verify=NO_TLS)

    def home(self, pid: int = 1) -> Path:
        """A home folder from which the CLI finds this API."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        fresh = home / "server.json.new"
        fresh.write_text(json.dumps({"url": self.url, "pid": pid, "started": 0}))
        fresh.replace(home / "server.json")  # whole, as a server writes it: somebody may read it just now
        (home / "token").write_text(self.token + "\n")
        return home

    # what the leader would write

    def commit(self, *rows: Row, events: tuple[Event, ...] = ()) -> None:
        term: Term | None = self.term
        assert term is not None
        self.store.commit(term, rows, events)

    def job(self, name: str = "gpt", job_id: str = "00000000000000a1", **changes: Any) -> Job:
        work = Work(name=name, owner=self.store.owner(), revision=1, run="python train.py")
        at = self.clock.wall_s()
        job = Job(job_id, name, self.store.owner(), at, 1, Want(), work, RetryPlan(), self.storage)
        job = replace(job, **changes)
        self.store.submit(job, Event(Kind.JOB_SUBMITTED, "submitted by a test", job=job.id))
        return job

    def state(self, job: Job, state: JobState, why: str = "", **changes: Any) -> None:
        known = next((p for p in self.store.progress() if p.job == job.id), Progress(job.id))
        now = self.clock.wall_s()
        row = replace(known, state=state, why=why, since=now, **changes)
        data = {"from": known.state.value, "to": state.value}
        self.commit(row, events=(Event(Kind.JOB_STATE, why, job=job.id, data=data),))

    def instance(self, job: Job, launch_id: str = "launch-1", **changes: Any) -> str:
        """An instance whose node has a token; the token."""
        token = f"token-of-{launch_id}"
        now = self.clock.wall_s()
        request = LaunchRequest(f"{launch_id}-1", launch_id, job.owner, job.id, OFFER, 100, 86400.0)
        row = Instance(
            launch_id,
            job.id,
            request,
            phase=InstancePhase.READY,
            id=f"i-{launch_id}",
            intended_at=now - 3600,
            started_at=now - 3600,
            token_hash=hash_token(token),
        )
        self.commit(replace(row, **changes))
        return token

    def attempt(self, job: Job, generation: int = 1, **changes: Any) -> Attempt:
        row = Attempt(
            job.id,
            generation,
            f"a{generation}",
            1,
            self.clock.wall_s(),
            "first start",
            launches=("launch-1",),
        )
        row = replace(row, **changes)
        self.commit(row)
        return row


@contextmanager
def running_api(folder: Path, credentials: Credentials | None = None) -> Iterator[Api]:
    clock = SystemClock()
    api = Api(folder, open_store(f"sqlite:///{folder / 'outlast.db'}", clock), clock)
    (folder / "bucket").mkdir()
    api.credentials = credentials
    api.start()
    try:
        yield api
    finally:
        api.stop()
        api.store.close()
