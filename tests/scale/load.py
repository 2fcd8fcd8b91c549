"""Nodes' reports over HTTP at their own rhythm, and people who look: measured from a process of its own."""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from outlast.protocol.limits import REPORT_EVERY_S

CLIENTS = 8
SEQ_BEGIN = 1_000_000  # above whatever the nodes have said before


@dataclass(frozen=True)
class Latency:
    """Of one kind of request, in milliseconds."""

    count: int
    median_ms: float
    p95_ms: float


def drive(folder: Path, plan: dict[str, Any]) -> dict[str, Latency]:
    """Runs the process; `plan`: url, admin, job, seconds, nodes: [[token, report], …]."""
    file = folder / "plan.json"
    file.write_text(json.dumps(plan))
    command = [sys.executable, "-m", "tests.scale.load", str(file)]
    limit_s = plan["seconds"] + 120.0
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=limit_s, check=False, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return {name: Latency(**values) for name, values in json.loads(done.stdout).items()}


class _Load:
    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._netloc = urlsplit(plan["url"]).netloc
        self._end_s = time.monotonic() + plan["seconds"]
        self._took_ms: dict[str, list[float]] = {}
        self._lock = threading.Lock()
        self.problems: list[str] = []

    def run(self) -> dict[str, list[float]]:
        looks = [("jobs", "/v1/jobs", 1.0), ("status", f"/v1/jobs/{self._plan['job']}", 0.2)]
        todo: list[Callable[[], None]] = [lambda look=look: self._look(*look) for look in looks]  # type: ignore[misc]
        nodes = self._plan["nodes"]
        todo += [lambda part=nodes[i::CLIENTS]: self._report(part) for i in range(CLIENTS)]  # type: ignore[misc]
        threads = [threading.Thread(target=self._guarded, args=(one,)) for one in todo]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self._took_ms

    def _guarded(self, run: Callable[[], None]) -> None:
        try:
            run()
        except (OSError, http.client.HTTPException, AssertionError) as error:
            self.problems.append(f"{type(error).__name__}: {error}")

    def _look(self, name: str, path: str, every_s: float) -> None:
        link = http.client.HTTPConnection(self._netloc, timeout=60)
        while time.monotonic() < self._end_s:
            self._ask(link, name, "GET", path, self._plan["admin"], None)
            time.sleep(every_s)

    def _report(self, nodes: list[tuple[str, dict[str, Any]]]) -> None:
        """Each node once in a while; one that is late does not make up for it."""
        link = http.client.HTTPConnection(self._netloc, timeout=60)
        for turn in range(SEQ_BEGIN, 2 * SEQ_BEGIN):
            begun_s = time.monotonic()
            for number, (token, report) in enumerate(nodes):
                wait_s = begun_s + number * REPORT_EVERY_S / len(nodes) - time.monotonic()
                time.sleep(max(0.0, wait_s))
                if time.monotonic() >= self._end_s:
                    return
                self._ask(link, "report", "POST", "/v1/report", token, {**report, "seq": turn})

    def _ask(
        self, link: http.client.HTTPConnection, name: str, verb: str, path: str, token: str, body: Any
    ) -> None:
        begun_s = time.monotonic()
        headers = {"Authorization": f"Bearer {token}"}
        link.request(verb, path, body=None if body is None else json.dumps(body), headers=headers)
        answer = link.getresponse()
        text = answer.read()
        took_ms = 1000 * (time.monotonic() - begun_s)
        assert answer.status == 200, f"{name}: {answer.status} {text[:200]!r}"
        with self._lock:
            self._took_ms.setdefault(name, []).append(took_ms)


def main() -> int:
    load = _Load(json.loads(Path(sys.argv[1]).read_text()))
    took_ms = load.run()
    found = {
        name: {
            "count": len(values),
            "median_ms": statistics.median(values),
            "p95_ms": sorted(values)[int(0.95 * (len(values) - 1))],
        }
        for name, values in took_ms.items()
    }
    sys.stdout.write(json.dumps(found))
    if load.problems:
        sys.stderr.write("\n".join(load.problems))
    return 1 if load.problems else 0


if __name__ == "__main__":
    sys.exit(main())
