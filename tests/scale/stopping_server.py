"""The real server as a process that stops itself, by SIGSTOP, at the point that a file of its home names."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import event as sql_event

from outlast_orchestrator.controller.log import write_log
from outlast_orchestrator.controller.loop import Controller
from outlast_orchestrator.core.errors import Deposed, OutlastError
from outlast_orchestrator.core.events import Event
from outlast_orchestrator.core.ports import Row, Term
from outlast_orchestrator.server import build
from outlast_orchestrator.settings import load_settings
from outlast_orchestrator.store.db import SqlStore

ARMED, COMMITS = "armed", "commits.jsonl"


class Trap:
    """Stops this process once, where it is armed for."""

    def __init__(self, home: Path) -> None:
        self._file = home / ARMED

    def __call__(self, point: str) -> None:
        if self._file.exists() and self._file.read_text() == point:
            self._file.unlink()
            # To this thread: sent to the process, another thread may take it, and this one goes on a while.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def trapped(*args: Any, **more: Any) -> Any:
            self(f"{name}:before")
            found = call(*args, **more)
            self(f"{name}:after")
            return found

        return trapped


class Trapped:
    """Some verbs of a port with a trap before and after; the others as they are."""

    def __init__(self, inner: Any, trap: Trap, verbs: Sequence[str]) -> None:
        self._inner = inner
        for verb in verbs:
            setattr(self, verb, trap.around(verb, getattr(inner, verb)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class TrappedStore:
    """The store, with a trap around commits by what they say, and a record of how each went."""

    def __init__(self, inner: SqlStore, trap: Trap, record: Path) -> None:
        self._inner = inner
        self._trap = trap
        self._record = record

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def commit(
        self, term: Term, rows: Sequence[Row], events: Sequence[Event], unblock: Sequence[str] = ()
    ) -> None:
        kinds = [event.kind.value for event in events]
        for kind in kinds:
            self._trap(f"{kind}:before")
        outcome = "failed"
        try:
            self._inner.commit(term, rows, events, unblock)
            outcome = "written"
        except Deposed:
            outcome = "deposed"
            raise
        finally:
            with self._record.open("a") as out:
                out.write(json.dumps({"term": term.number, "outcome": outcome, "kinds": kinds}) + "\n")
        for kind in kinds:
            self._trap(f"{kind}:after")


def main() -> int:
    settings = load_settings()
    server = build(settings)
    write_log(settings.home)
    trap = Trap(settings.home)
    parts = server._controller._parts
    providers = {k: Trapped(v, trap, ("launch", "terminate")) for k, v in parts.providers.items()}
    remotes = {k: Trapped(v, trap, ("install",)) for k, v in parts.remotes.items()}
    sql_event.listen(
        server._store.engine,
        "after_cursor_execute",
        lambda _connection, _cursor, statement, *_: (
            trap("transaction:inside") if statement.startswith("INSERT INTO instances") else None
        ),
    )
    trapped = replace(
        parts,
        store=TrappedStore(server._store, trap, settings.home / COMMITS),
        pointers=Trapped(parts.pointers, trap, ("take_generation",)),
        providers=providers,
        remotes=remotes,
    )
    server._controller = Controller(trapped, server._alarm)
    signal.signal(signal.SIGTERM, lambda _number, _frame: server.stop())
    server.run()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except OutlastError as error:
        sys.exit(f"outlast: {error}")
