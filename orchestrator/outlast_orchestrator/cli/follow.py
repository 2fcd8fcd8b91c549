"""Stays with a job while it runs: events, output, outcome; a server that restarts is waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.live import Live
from rich.markup import escape
from rich.text import Text

from outlast_orchestrator.cli import output, render
from outlast_orchestrator.cli.client import Answer, Client, Params, connect, job_path
from outlast_orchestrator.cli.exits import Exit, NoServer, of_job

T = TypeVar("T")

WAIT_S = 5  # one long poll; the live line is renewed as often
PATIENCE_TRIES = 300  # how long a server may be away, in tries
RETRY_S = 2.0


class Line:
    """A connection that is made anew when the server was restarted, perhaps at another address.

    Only a server that has answered once is waited for; before that, its absence is told at once.
    """

    def __init__(self) -> None:
        self._client: Client = connect()
        self._met = False

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_error: object) -> None:
        self._client.close()

    def get(self, path: str, params: Params | None = None) -> dict[str, Any]:
        return self._ask(lambda: self._client.get(path, params))

    def fetch(self, path: str, params: Params) -> Answer:
        return self._ask(lambda: self._client.fetch(path, params))

    def _ask(self, call: Callable[[], T]) -> T:
        for tried in range(PATIENCE_TRIES):
            try:
                answer = call()
            except NoServer as error:
                if not self._met or tried == PATIENCE_TRIES - 1:
                    raise
                if tried == 0:
                    output.note(f"{error}\nThe job goes on without it; waiting for the server to come back …")
            else:
                self._met = True
                return answer
            threading.Event().wait(RETRY_S)
            self._connect_again()
        raise AssertionError("the last try returns or raises")

    def _connect_again(self) -> None:
        try:
            fresh = connect()
        except NoServer:
            return  # still away: the next try says so, and waits
        self._client.close()
        self._client = fresh


def watch(name: str, *, quiet: bool = False) -> tuple[Exit, dict[str, Any]]:
    """Until the job is over: how it ended, and its last status. Ctrl-C raises KeyboardInterrupt."""
    after = 0
    with Line() as line, _live(quiet) as (say, show):
        while True:
            job = line.get(job_path(name))
            show(job)
            over = bool(job["over"])
            batch = line.get(job_path(job["id"], "events"), {"after": after, "wait": 0 if over else WAIT_S})
            after = batch["after"]
            for event in batch["events"]:
                say(render.event_line(event))
            if over and not batch["events"]:
                return of_job(job["state"]), job


@contextmanager
def _live(quiet: bool) -> Iterator[tuple[Callable[[str], None], Callable[[dict[str, Any]], None]]]:
    """(say a line, show the job below all lines), on stderr; the lower part only on a terminal."""
    console = render.console(stderr=True)
    if quiet:
        yield (lambda _text: None), (lambda _job: None)
    elif not console.is_terminal:
        yield output.note, (lambda _job: None)
    else:
        with Live(Text(""), console=console, refresh_per_second=4, transient=True) as live:
            yield (
                lambda text: console.print(escape(text), soft_wrap=True),
                lambda job: live.update(Text.from_markup(render.live_line(job))),
            )


def events(name: str | None, last: int, follow: bool, show: Callable[[dict[str, Any]], None]) -> None:
    """The last ones (0: all), then, to follow, each as it comes until Ctrl-C."""
    path = job_path(name, "events") if name is not None else "/v1/events"
    with Line() as line:
        batch = line.get(path, {"last": last})
        while True:
            for event in batch["events"]:
                show(event)
            if not follow and (last > 0 or not batch["events"]):
                return
            batch = line.get(path, {"after": batch["after"], "wait": WAIT_S if follow else 0})


def logs(name: str, attempt: int | None, rank: int, follow: bool) -> None:
    """The output of one attempt, or from the newest on."""
    place, quiet_since_over = "", False
    fixed: dict[str, str | int | float] = {"rank": rank, "wait": WAIT_S if follow else 0}
    if attempt is not None:
        fixed["attempt"] = attempt
    with Line() as line:
        while True:
            answer = line.fetch(job_path(name, "logs"), {**fixed, "after": place})
            output.raw(answer.body)
            place = answer.headers["x-outlast-after"]
            if answer.headers["x-outlast-more"] == "yes":
                continue
            # The last chunk may arrive just after the end is known: once over, one quiet look ends it.
            if not follow or (quiet_since_over and not answer.body):
                return
            quiet_since_over = answer.headers["x-outlast-over"] == "yes" and not answer.body
