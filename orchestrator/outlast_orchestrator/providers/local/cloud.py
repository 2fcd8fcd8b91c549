"""The local cloud's process: its control API, and the loop that moves instances and market along.

`python -I -m outlast_orchestrator.providers.local.cloud --state DIR [--daemon]`
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hmac
import inspect
import json
import logging
import os
import shutil
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from outlast.protocol.codec import FormatError, from_json, to_json
from outlast_orchestrator.providers.local import clock, processes
from outlast_orchestrator.providers.local.calls import Calls
from outlast_orchestrator.providers.local.config import CloudConfig
from outlast_orchestrator.providers.local.driver import Driver
from outlast_orchestrator.providers.local.faults import Faults
from outlast_orchestrator.providers.local.fleet import Fleet
from outlast_orchestrator.providers.local.injection import SCRIPTED, Injection
from outlast_orchestrator.providers.local.records import EndCode, State
from outlast_orchestrator.providers.local.refusals import INVALID, STATUS, Refused
from outlast_orchestrator.providers.local.serve import Handler, LoopbackServer
from outlast_orchestrator.providers.local.state import State as Memory
from outlast_orchestrator.providers.local.traces import TraceError

CLOUD_FILE = "cloud.json"
LOCK_FILE = "cloud.lock"
TICK_S = 0.1
STOP_LIMIT_S = 30.0
BODY_BYTES_MAX = 64 << 20
EXIT_ANOTHER = 3  # a living cloud has this state folder
PROVIDER_CALLS = ("offers", "launch", "instances", "terminate", "execute", "start", "set_api", "console")

log = logging.getLogger("cloud")


class Cloud:
    """Composition: everything the process is made of."""

    def __init__(self, folder: Path, config: CloudConfig | None) -> None:
        self._folder = folder
        self._memory = Memory(folder)
        self._config = config or self._memory.config() or CloudConfig()
        self._faults = faults = Faults(self._memory, clock.wall_s)
        self._fleet = Fleet(folder, self._memory, faults, lambda: self._config)
        self._driver = Driver(self._fleet, self._memory, self._config)
        self._memory.save_config(self._config)
        self._injection = Injection(self._fleet, faults, self._driver, lambda: self._config.notice_s)
        calls = Calls(self._memory, self._fleet, faults, self._driver)
        self._ops: dict[str, Callable[..., Any]] = {
            "ping": self._ping,
            "config": lambda: to_json(self._config),
            "configure": self._configure,
            "stop": self._stop,
            "script": self._injection.script,
            **{name: getattr(calls, name) for name in PROVIDER_CALLS},
            **{name: getattr(self._injection, name) for name in SCRIPTED},
        }
        self._done = threading.Event()
        self._token = clock.token(24)
        self._forget_strangers()

    def run(self, ready: Callable[[], None]) -> None:
        server = LoopbackServer(0, self._handler())
        contact = {"pid": os.getpid(), "port": server.port, "token": self._token}
        write_private(self._folder / CLOUD_FILE, json.dumps(contact))
        log.info("listening on port %s", server.port)
        ready()
        while not self._done.is_set():
            _reap()
            self._fleet.tick()
            self._driver.tick(self._injection.perform)
            self._done.wait(TICK_S)
        (self._folder / CLOUD_FILE).unlink(missing_ok=True)
        server.stop()
        self._fleet.close()
        self._memory.close()

    def leave(self, *_: object) -> None:
        """Ends this process; instances go on."""
        self._done.set()

    def _ping(self) -> dict[str, Any]:
        return {"pid": os.getpid()}

    def _configure(self, config: dict[str, Any]) -> None:
        try:
            changed = from_json(CloudConfig, config)
            self._driver.configure(changed)
        except (FormatError, TraceError) as error:
            raise Refused(INVALID, str(error)) from error
        self._config = changed
        self._memory.save_config(changed)

    def _stop(self, instances: bool = True) -> dict[str, Any]:
        """Ends the cloud and, unless told otherwise, all that it runs; answers which instances are left."""
        left: list[str] = []
        if instances:
            for record in self._fleet.records():
                self._fleet.end(record.id, EndCode.BY_REQUEST, "the cloud was stopped")
            deadline_s = clock.monotonic_s() + STOP_LIMIT_S
            while left := [r.id for r in self._fleet.records() if r.state is not State.ENDED]:
                if clock.monotonic_s() > deadline_s:
                    break
                clock.sleep(TICK_S / 4)
        # The answer must still get out, so the loop is told a moment later.
        threading.Timer(TICK_S, self.leave).start()
        return {"left": left}

    def _forget_strangers(self) -> None:
        """Folders of launches that were never saved: the cloud was killed in the middle of one."""
        root = self._folder / "instances"
        known = {record.id for record in self._fleet.records()}
        for path in root.iterdir() if root.is_dir() else ():
            if path.name not in known:
                shutil.rmtree(path, ignore_errors=True)

    def _answer(self, op: str, body: dict[str, Any]) -> Any:
        run = self._ops.get(op)
        if run is None:
            raise Refused(INVALID, f"there is no call {op!r}")
        try:
            bound = inspect.signature(run).bind(**body)
        except TypeError as error:
            raise Refused(INVALID, f"{op}: {error}") from error
        return run(*bound.args, **bound.kwargs)

    def _handler(self) -> type[Handler]:
        cloud = self

        class ControlHandler(Handler):
            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length", "0"))
                body = self.rfile.read(min(size, BODY_BYTES_MAX))
                if not hmac.compare_digest(self.headers.get("Authorization", ""), f"Bearer {cloud._token}"):
                    self._say(HTTPStatus.UNAUTHORIZED, {"code": "AuthFailure", "message": "wrong token"})
                    return
                op = self.path.removeprefix("/v1/")
                try:
                    value = cloud._answer(op, json.loads(body or b"{}"))
                except Refused as refusal:
                    self._say(STATUS[refusal.code], {"code": refusal.code, "message": refusal.message})
                    return
                if cloud._faults.loses_reply(op):
                    self.close_connection = True
                    return
                self._say(HTTPStatus.OK, {"value": value})

            def _say(self, status: int, value: dict[str, Any]) -> None:
                self.answer(status, json.dumps(value).encode(), "application/json")

        return ControlHandler


def write_private(path: Path, text: str) -> None:
    """Replaces a file by one that only its owner may read."""
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)


def _reap() -> None:
    """Takes leave of dead supervisors: nothing else is ever a child of this process."""
    with contextlib.suppress(ChildProcessError):  # there is no child at all
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue


def _become_daemon() -> int:
    """Returns in the child, with a pipe on which it says that it is ready; the parent waits and exits."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        with os.fdopen(reader) as pipe:
            text = pipe.read()
        if text != "ready":
            sys.stderr.write(text or "the local cloud ended while it started: see its cloud.log\n")
        os._exit(0 if text == "ready" else 1)
    os.close(reader)
    os.setsid()
    return writer


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="The local cloud.")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--config", help="JSON; without it the stored one")
    parser.add_argument("--daemon", action="store_true")
    chosen = parser.parse_args(arguments)
    folder: Path = chosen.state.resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        sys.stderr.write(f"the local cloud can't start: {folder} can't be written: {error.strerror}\n")
        return 1
    writer = _become_daemon() if chosen.daemon else None

    def say(text: str) -> None:
        if writer is not None:
            os.write(writer, text.encode())
            os.close(writer)

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another local cloud runs on this state folder\n")
        return EXIT_ANOTHER
    if chosen.daemon:
        output = os.open(folder / "cloud.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for number in (1, 2):
            os.dup2(output, number)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    try:
        config = from_json(CloudConfig, json.loads(chosen.config)) if chosen.config else None
        cloud = Cloud(folder, config)
    except (FormatError, TraceError, json.JSONDecodeError, sqlite3.Error, OSError) as error:
        say(f"the local cloud can't start from {folder}: {error}\n")
        return 1
    processes.adopt_orphans()
    signal.signal(signal.SIGTERM, cloud.leave)
    signal.signal(signal.SIGINT, cloud.leave)
    cloud.run(lambda: say("ready"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
