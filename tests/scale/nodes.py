"""Nodes that do nothing but speak: they obey, claim by the real rules, report, and release on a notice."""

from __future__ import annotations

import heapq
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from outlast.bucket.outcomes import Applied, ClaimAsk, Identity, Write
from outlast.bucket.pointer import judge_claim
from outlast.ports import Bucket, Conflict, Exists, Missing
from outlast.protocol.codec import dump, load
from outlast.protocol.limits import REPORT_EVERY_S
from outlast.protocol.messages import (
    OVER,
    AgentState,
    Command,
    CommandKind,
    Notice,
    Permission,
    Report,
    SaveStatus,
)
from outlast.protocol.objects import (
    POINTER_KEY,
    InstanceRef,
    ManifestRef,
    Pointer,
    PointerState,
    checkpoint_name,
    manifest_key,
)
from outlast_orchestrator.core.ports import AgentConfig, Nodes

ASK_AGAIN_S = 1.0  # while it waits for its turn
SAVED_STEP = 100
FINAL_SAVE_S = 0.5


@dataclass
class LittleNode:
    """One machine's agent and trainer."""

    config: AgentConfig
    bucket: Bucket
    boot: str = "boot"
    seq: int = 0
    state: AgentState = AgentState.IDLE
    generation: int = 0
    attempt: str = ""
    step: int = 0
    pointer: Pointer | None = None
    version: str = ""
    notice: Notice | None = None
    released_s: float = 0.0  # when the final save will be done

    @property
    def writer(self) -> str:
        return f"{self.config.instance}-{self.boot}" if self.generation else ""

    def report(self) -> Report:
        self.seq += 1
        if self.state is AgentState.RUNNING:
            self.step += 1
        durable = None if self.pointer is None else self.pointer.head
        return Report(
            job=self.config.job,
            generation=self.generation,
            rank=0,
            instance=self.config.instance,
            boot=self.boot,
            seq=self.seq,
            state=self.state,
            attempt=self.attempt,
            writer=self.writer,
            step=self.step or None,
            save=SaveStatus(durable=durable, durable_age_s=None if durable is None else 5.0),
            notice=self.notice,
        )

    def obey(self, commands: tuple[Command, ...], now_s: float) -> None:
        for command in commands:
            free = self.state in OVER or self.state is AgentState.IDLE
            if command.kind is CommandKind.ASSIGN and free and command.generation > self.generation:
                self.generation, self.attempt = command.generation, command.attempt
                self.state, self.pointer = AgentState.WAITING, None
            if command.generation != self.generation:
                continue
            if command.kind is CommandKind.RUN and self.state is AgentState.WAITING:
                self._claim(command.permission or Permission())
        if self.state is AgentState.RUNNING and self.notice is not None:
            self.state, self.released_s = AgentState.DRAINING, now_s + FINAL_SAVE_S
        elif self.state is AgentState.DRAINING and now_s >= self.released_s:
            self._write(PointerState.RELEASED, self.step)
            self.state = AgentState.RELEASED

    def _claim(self, permission: Permission) -> None:
        try:
            blob = self.bucket.get(POINTER_KEY)
            found, self.version = load(Pointer, blob.body), blob.version
        except Missing:
            found, self.version = None, ""
        machines = (InstanceRef(self.config.cloud, self.config.region, self.config.instance_id),)
        me = Identity(
            self.config.owner, self.config.job, self.generation, self.writer, self.attempt, machines
        )
        verdict = judge_claim(found, ClaimAsk(me, permission, "2026-01-01T00:00:00Z"))
        if isinstance(verdict, Write):
            self.pointer = verdict.pointer
            if self._send(self.pointer):
                self._write(PointerState.RUNNING, self.step + SAVED_STEP)
                self.state = AgentState.RUNNING
        elif isinstance(verdict, Applied):
            self.pointer, self.state = verdict.pointer, AgentState.RUNNING

    def _write(self, state: PointerState, step: int) -> None:
        """Release, or an advance to a checkpoint that nobody will ever look into."""
        assert self.pointer is not None
        name = checkpoint_name(step, self.generation, f"{self.seq:06x}")
        head = ManifestRef(manifest_key(name), "xxh3-128:00", step)
        kept = (*self.pointer.kept[-2:], head)
        self.step = step
        self.pointer = replace(self.pointer, seq=self.pointer.seq + 1, state=state, head=head, kept=kept)
        assert self._send(self.pointer), f"{self.config.instance} was fenced"

    def _send(self, pointer: Pointer) -> bool:
        try:
            if self.version:
                self.version = self.bucket.replace(POINTER_KEY, dump(pointer), self.version)
            else:
                self.version = self.bucket.create(POINTER_KEY, dump(pointer))
        except (Conflict, Exists):
            return False
        return True

    def pause_s(self) -> float:
        if self.state is AgentState.DRAINING:
            return FINAL_SAVE_S
        return ASK_AGAIN_S if self.state is AgentState.WAITING else REPORT_EVERY_S


@dataclass
class Fleet:
    """All nodes, driven by one thread, which reports for each when it is due or its orders have changed."""

    nodes: Nodes
    bucket_of: Callable[[str], Bucket]
    cpu_s: float = 0.0
    members: dict[str, LittleNode] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._inbox: queue.SimpleQueue[tuple[str, LittleNode | Notice | None]] = queue.SimpleQueue()
        self._due: list[tuple[float, str]] = []  # of a node's entries only the one in `_at` counts
        self._at: dict[str, float] = {}
        self._stopped = threading.Event()
        self.problem = ""
        self.thread = threading.Thread(target=self._run, name="fleet", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self.thread.join(30)

    # from other threads

    def installed(self, config: AgentConfig) -> None:
        self._inbox.put((config.instance, LittleNode(config, self.bucket_of(config.job))))

    def notice(self, launch_id: str, deadline_in_s: float = 120.0) -> None:
        self._inbox.put((launch_id, Notice("terminate", deadline_in_s)))

    def end(self, launch_id: str) -> None:
        self._inbox.put((launch_id, None))

    def speak_from(self, seq: int) -> None:
        """After somebody else has spoken for them: what comes with a lower number would be old."""
        for node in list(self.members.values()):
            node.seq = seq

    # in its own thread

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                self._take(self._pause_s())
                self._speak()
                self.cpu_s = time.thread_time()
        except BaseException as error:
            self.problem = f"{type(error).__name__}: {error}"
            raise

    def _pause_s(self) -> float:
        return max(0.0, min(0.05, self._due[0][0] - time.monotonic())) if self._due else 0.05

    def _take(self, wait_s: float) -> None:
        try:
            launch_id, what = self._inbox.get(timeout=wait_s) if wait_s > 0 else self._inbox.get_nowait()
            while True:
                self._one(launch_id, what)
                launch_id, what = self._inbox.get_nowait()
        except queue.Empty:
            return

    def _one(self, launch_id: str, what: LittleNode | Notice | None) -> None:
        if isinstance(what, LittleNode):
            if launch_id in self.members:
                return  # installed twice: it runs already
            self.members[launch_id] = what
            self.nodes.watch(launch_id, lambda: self._inbox.put((launch_id, _ORDERS)))
        elif what is None:
            self.members.pop(launch_id, None)
        elif what is not _ORDERS and launch_id in self.members:
            self.members[launch_id].notice = what
        self._plan(launch_id, 0.0)

    def _plan(self, launch_id: str, at_s: float) -> None:
        self._at[launch_id] = at_s
        heapq.heappush(self._due, (at_s, launch_id))

    def _speak(self) -> None:
        now_s = time.monotonic()
        while self._due and self._due[0][0] <= now_s:
            at_s, launch_id = heapq.heappop(self._due)
            node = self.members.get(launch_id)
            if node is None or self._at[launch_id] != at_s:
                continue
            before = node.state
            reply = self.nodes.receive(node.report())
            node.obey(reply.commands, now_s)
            # What changed is reported at once, but after everybody else who is due.
            self._plan(launch_id, now_s + (1e-6 if node.state is not before else node.pause_s()))


_ORDERS = Notice("orders")  # in the inbox: what it is told has changed
