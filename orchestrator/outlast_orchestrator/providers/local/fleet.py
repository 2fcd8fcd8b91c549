"""The instances of the local cloud: what is known of each, and how one starts, runs on and ends."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from outlast_orchestrator.providers.local import boot, clock, machine, processes
from outlast_orchestrator.providers.local.config import CloudConfig
from outlast_orchestrator.providers.local.faults import Faults
from outlast_orchestrator.providers.local.metadata import Metadata
from outlast_orchestrator.providers.local.records import EndCode, Order, Record, State
from outlast_orchestrator.providers.local.refusals import NO_SUCH_INSTANCE, Refused
from outlast_orchestrator.providers.local.relay import Relay
from outlast_orchestrator.providers.local.state import State as Memory

START_LIMIT_S = 20.0
LOOK_EVERY_S = 0.02

log = logging.getLogger("fleet")


class Fleet:
    """Thread-safe. Every change of a record is saved before what follows from it is done."""

    def __init__(
        self, folder: Path, memory: Memory, faults: Faults, config: Callable[[], CloudConfig]
    ) -> None:
        self._folder = folder / "instances"
        self._memory = memory
        self._faults = faults
        self._config = config
        self._lock = threading.RLock()
        self._records = {record.id: record for record in memory.records()}
        self._metadata: dict[str, Metadata] = {}
        self._busy: set[str] = set()  # being started or ended by a thread
        self._spawned: set[int] = set()  # the supervisors among the children of this process
        self.relay = Relay()

    # what is known

    def folder(self, instance: str) -> Path:
        return self._folder / instance

    def records(self) -> list[Record]:
        with self._lock:
            return sorted(self._records.values(), key=lambda record: (record.created_at, record.id))

    def get(self, instance: str) -> Record:
        with self._lock:
            record = self._records.get(instance)
        if record is None:
            raise Refused(NO_SUCH_INSTANCE, f"the instance {instance!r} does not exist")
        return record

    def root(self, record: Record) -> processes.Root:
        return processes.Root(record.pid, record.pid_started, record.mark)

    def change(self, instance: str, step: Callable[[Record], Record]) -> Record:
        """Applies a step to a record and saves it."""
        with self._lock:
            record = step(self.get(instance))
            self._memory.save_record(record)
            self._records[instance] = record
            return record

    # life

    def prepare(self, order: Order, price_usd_h: float) -> Record:
        """A new record with its folder and ports; nothing runs, and nothing is saved yet."""
        instance = f"i-{clock.token(8)}"
        boot.lay_out(self.folder(instance), order.user_data)
        record = Record(
            id=instance,
            order=order,
            price_usd_h=price_usd_h,
            mark=f"{instance}.{clock.token(8)}",
            created_at=clock.wall_s(),
            metadata_port=0,
            relay_port=self.relay.listen(instance),
            api=self._memory.api(order.owner),
        )
        self._metadata[instance] = self._serve_metadata(record)
        return replace(record, metadata_port=self._metadata[instance].port)

    def take_up(self, records: list[Record]) -> None:
        """Starts records whose launch has just been saved."""
        with self._lock:
            for record in records:
                self._records[record.id] = record
                self._lead(record)
        self.tick()

    def end(
        self, instance: str, code: EndCode, text: str, *, orderly: bool = False, silent: bool = False
    ) -> None:
        """Decides the end; the first decision stays. The processes are ended beside the caller."""

        def decide(record: Record) -> Record:
            if not record.living:
                return record
            return replace(
                record,
                state=State.STOPPING,
                end_code=code,
                end_text=text,
                orderly=orderly,
                silent=silent,
            )

        self.change(instance, decide)
        self.tick()

    def tick(self) -> None:
        """Looks at every instance and starts the work that its state asks for; never waits."""
        for record in self.records():
            if record.state is State.RUNNING and not processes.alive(record.pid, record.pid_started):
                self._found_dead(record)
        now = clock.wall_s()
        for record in self.records():
            if record.state is not State.ENDED:
                self._open_ports(record)
            self.relay.set_silent(record.id, self._faults.silent(record.id) or _dies_silently(record))
            if record.state is State.PENDING:
                self._beside(record.id, self._start)
            elif record.state is State.STOPPING:
                self._beside(record.id, self._finish)
            elif record.ended_at is not None and now > record.ended_at + self._config().ended_listed_s:
                self._vanish(record.id)

    def lead(self, instance: str, address: str) -> None:
        """New connections of this instance go to that `host:port`."""
        self._lead(self.change(instance, lambda record: replace(record, api=address)))

    def close(self) -> None:
        """Lets go of ports and threads; instances go on."""
        for metadata in list(self._metadata.values()):
            metadata.stop()
        self.relay.stop()

    # the parts of it

    def _beside(self, instance: str, work: Callable[[Record], None]) -> None:
        with self._lock:
            if instance in self._busy:
                return
            self._busy.add(instance)

        def run() -> None:
            try:
                work(self.get(instance))
            finally:
                with self._lock:
                    self._busy.discard(instance)

        threading.Thread(target=run, name=f"{work.__name__} {instance}", daemon=True).start()

    def _start(self, record: Record) -> None:
        """Starts the supervisor, unless a cloud that was killed here had done so already."""
        clock.sleep(max(0.0, record.created_at + self._config().boot_s - clock.wall_s()))
        if not self.get(record.id).living:
            return
        folder, spawned = self.folder(record.id), False
        deadline_s = clock.monotonic_s() + START_LIMIT_S
        while clock.monotonic_s() < deadline_s:
            found = boot.supervisor(folder)
            if found is not None and boot.answers(folder):
                self.change(record.id, lambda now, by=found: _running(now, by))  # type: ignore[misc]
                return
            if found is None and not spawned:
                try:
                    with self._lock:
                        self._spawned.add(boot.spawn(record, folder))
                except OSError as error:
                    self.end(record.id, EndCode.NEVER_RAN, f"the supervisor can't be started: {error}")
                    return
                spawned = True
            clock.sleep(LOOK_EVERY_S)
        self.end(record.id, EndCode.NEVER_RAN, f"the supervisor did not start within {START_LIMIT_S:.0f} s")

    def _found_dead(self, record: Record) -> None:
        if boot.switched_itself_off(self.folder(record.id)):
            self.end(record.id, EndCode.GUEST, "the instance switched itself off")
        else:
            self.end(record.id, EndCode.HOST, "the host of the instance failed")

    def _finish(self, record: Record) -> None:
        """Ends every process, until none is left; only then is the instance ended."""
        if record.state is not State.STOPPING:
            return  # another thread was quicker: an end has one time
        if not record.pid and (found := boot.supervisor(self.folder(record.id))) is not None:
            record = replace(record, pid=found[0], pid_started=found[1])
        if record.silent:
            self.relay.set_silent(record.id, True)
        if record.orderly:
            left = processes.end_orderly(self.root(record), self._config().grace_s)
        else:
            left = processes.kill(self.root(record))
        if left:
            log.error("instance %s: the processes %s can't be killed yet", record.id, left)
            return
        with self._lock:  # orphans of a supervisor that was killed came to this process
            processes.kill_children(os.getpid(), self._spawned)
            self._spawned.discard(record.pid)
        if not record.silent:
            self.relay.close(record.id)
        metadata = self._metadata.pop(record.id, None)
        if metadata is not None:
            metadata.stop()
        if not self._config().keep_disks:
            shutil.rmtree(self.folder(record.id) / machine.DISK, ignore_errors=True)
        self.change(record.id, lambda now: replace(now, state=State.ENDED, ended_at=clock.wall_s()))
        log.info(
            "instance %s ended: %s (%s)",
            record.id,
            record.end_code and record.end_code.value,
            record.end_text,
        )

    def _vanish(self, instance: str) -> None:
        self.relay.close(instance)
        shutil.rmtree(self.folder(instance), ignore_errors=True)
        with self._lock:
            self._memory.forget_record(instance)
            self._records.pop(instance, None)

    def _open_ports(self, record: Record) -> None:
        """After a restart of the cloud: the very ports that the instance knows, as soon as they are free."""
        with self._lock:
            try:
                if not self.relay.has(record.id):
                    self.relay.listen(record.id, record.relay_port)
                    self._lead(record)
                if record.id not in self._metadata:
                    self._metadata[record.id] = self._serve_metadata(record)
            except OSError as error:
                log.warning("instance %s: one of its ports can't be opened yet: %s", record.id, error)

    def _serve_metadata(self, record: Record) -> Metadata:
        return Metadata(
            record.metadata_port,
            lambda: self._records.get(record.id),
            lambda: not self._faults.metadata_out(record.id),
        )

    def _lead(self, record: Record) -> None:
        host, _, port = record.api.rpartition(":")
        if port:
            self.relay.lead(record.id, host, int(port))


def _dies_silently(record: Record) -> bool:
    return record.silent and not record.living


def _running(record: Record, supervisor: tuple[int, int]) -> Record:
    return replace(
        record,
        pid=supervisor[0],
        pid_started=supervisor[1],
        started_at=record.started_at or clock.wall_s(),
        state=State.RUNNING if record.state is State.PENDING else record.state,
    )
