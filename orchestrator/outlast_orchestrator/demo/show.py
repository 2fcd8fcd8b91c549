"""Shows the demo while it plays: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from outlast_orchestrator.core.ports import Clock
from outlast_orchestrator.demo.watch import Watch

KEPT_LINES = 12
REFRESH_S = 0.5


class Show:
    """Tells on standard error; standard output is for the result alone."""

    def __init__(self, clock: Clock, quiet: bool) -> None:
        self._clock = clock
        self._begun_s = clock.monotonic_s()
        self._lines: list[str] = []
        self._watch: Watch | None = None
        self._console = Console(file=sys.stderr)
        self._live: Live | None = None
        self._stopped = threading.Event()
        if self._console.is_terminal and not quiet:
            self._live = Live(self._panel(), console=self._console, refresh_per_second=4)
            self._live.start()
            threading.Thread(target=self._refresh, name="show", daemon=True).start()

    def say(self, what: str) -> None:
        line = f"{self._clock.monotonic_s() - self._begun_s:6.1f} s  {what}"
        self._lines.append(line)
        if self._live is None:
            self._console.print(line, markup=False, highlight=False)

    def follow(self, watch: Watch) -> None:
        self._watch = watch

    def stop(self) -> None:
        self._stopped.set()
        if self._live is not None:
            self._live.update(self._panel())
            self._live.stop()

    def _refresh(self) -> None:
        while not self._stopped.wait(REFRESH_S):
            if self._live is not None:
                self._live.update(self._panel())

    def _panel(self) -> Table:
        table = Table.grid(padding=(0, 1))
        for line in self._lines[-KEPT_LINES:]:
            table.add_row(Text(line))
        if self._watch is not None and self._watch.status:
            status = self._watch.status
            durable = status.get("durable") or {}
            table.add_row(
                Text(
                    f"{status['state']}: {status['why']}\n"
                    f"step {status.get('step')}, durable step {durable.get('step')}, "
                    f"generation {status['generation']}, cost {status['cost']['usd']:.4f} $",
                    style="bold",
                )
            )
        return table
