"""Starts the agent as a node does, but counts what it does to files and bucket, and strikes at one point.

`python -I agent_launcher.py PLAN --config FILE`: the real composition, in a process of its own. PLAN is a
JSON file; `agent_rig.Plan` says what may stand in it. The product knows nothing of this: the functions of
`os`, `io` and `fcntl`, and the folder bucket's port, are wrapped before the agent is put together.
"""

from __future__ import annotations

import builtins
import fcntl
import io
import json
import mmap
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import outlast.__main__ as product
from outlast.bucket.folder import FolderBucket
from outlast.cadence import Pace
from outlast.node import compose as composition

_write, _open, _fsync, _close = os.write, os.open, os.fsync, os.close
_readlink, _read = os.readlink, os.read

NAME = re.compile(r"\d{9}-g(\d+)-[0-9a-f]+")
LANE = re.compile(r" \d+$")  # which of several like tasks takes a file is chance
NOISE = (
    (re.compile(r"\.outlast/unfinished/.+"), "unfinished"),
    (re.compile(r"\.outlast/locks/.+"), "lock"),
    (re.compile(r"logs/g(\d+)-r0/.+"), r"logs/g\1"),
    (re.compile(r"staging/\d+-[0-9a-f]+"), "staging/N"),
    (re.compile(r"step-\d{9}"), "step-N"),
    (re.compile(r"[0-9a-f]{16,}"), "HEX"),
    (re.compile(r"\.\d+\.new$"), ".PID.new"),
)
# What is done again and again while nothing happens: a look of it is as good as the next.
POLLING = frozenset({"status", "logs", "watchdog", "MainThread", "report", "hang", "notices"})
ONLY_READ = ("work/", "attempts/", "logs/", "agent.json")
VERBS = ("get", "create", "replace", "put", "upload", "stream", "list", "delete")


class Chaos:
    """The one place that every watched call runs through."""

    def __init__(self, plan: dict[str, Any], config: dict[str, Any]) -> None:
        self._deed = signal.SIGSTOP if (plan.get("strike") or {}).get("deed") == "stop" else signal.SIGKILL
        self._bucket = config["storage"].removeprefix("file://") + "/"
        self._job = f"jobs/{config['job']}/"
        self._home = str(Path(plan["home"])) + "/"
        self._strike = plan.get("strike") or {}
        self._faults = plan.get("faults", "")
        self._polling = frozenset() if plan.get("polling") else POLLING
        self._returns = self._appending(plan["returns"])
        self._record = self._appending(plan["record"]) if plan.get("record") else -1
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._here = threading.local()

    def _appending(self, path: str) -> int:
        return _open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def area(self, what: object) -> str:
        """What kind of thing a path, or an open descriptor, is; "" when it is neither bucket nor home."""
        try:
            path = _readlink(f"/proc/self/fd/{what}") if isinstance(what, int) else os.fspath(what)  # type: ignore[call-overload]
        except (OSError, TypeError):
            return ""
        if not isinstance(path, str):
            return ""
        path = path.removesuffix(" (deleted)")
        if path.startswith(self._bucket):
            return self.key(path.removeprefix(self._bucket).removeprefix(self._job))
        if path.startswith(self._home):
            return "home " + self.key(path.removeprefix(self._home))
        return ""

    @staticmethod
    def key(key: str) -> str:
        key = NAME.sub(r"g\1", key)
        for pattern, word in NOISE:
            key = pattern.sub(word, key)
        return key

    def around(self, what: str, run: Callable[[], Any]) -> Any:
        """Does the call, as the point `what` of this thread, with whatever shall befall it."""
        label = self._label(what)
        self._reach(label, "before")
        result = run()
        self._reach(label, "after")
        return result

    def verb(self, name: str, key: str, run: Callable[[], Any], body: object = None) -> Any:
        """A call of the bucket's port; what it does to files is told apart by it."""
        what = f"{name} {self.key(key.removeprefix(self._job))}"
        outer = getattr(self._here, "verb", "")
        if outer:  # the bucket calls itself
            return run()
        self._here.verb = what
        try:
            label = self._label("bucket")
            self._reach(label, "before")
            result = run()
            if key.endswith("latest.json") and isinstance(body, bytes):
                self._returned(body)
            self._reach(label, "after")
            return result
        finally:
            self._here.verb = ""

    def trouble(self, op: str, area: str) -> dict[str, Any]:
        """What the test wants to go wrong with such a call now, if anything; `where` may name the bucket's
        call as well: `replace latest.json | jobs/j0b`."""
        if not self._faults or not area:
            return {}
        try:
            descriptor = _open(self._faults, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return {}
        try:
            rules = json.loads(_read(descriptor, 65536) or b"[]")
        finally:
            _close(descriptor)
        what = f"{getattr(self._here, 'verb', '')} | {area}"
        fits = (rule for rule in rules if op in rule["ops"] and re.search(rule["where"], what))
        return next(fits, {})

    def _label(self, what: str) -> str:
        thread = LANE.sub("", threading.current_thread().name)
        verb = getattr(self._here, "verb", "")
        label = f"{thread} | {verb} | {what}"
        with self._lock:
            self._seen[label] += 1
            number = self._seen[label]
        return f"{label} | {number}" if number == 1 or thread not in self._polling else ""

    def _reach(self, label: str, moment: str) -> None:
        if not label:
            return
        if self._record >= 0:
            _write(self._record, f"{moment} | {label}\n".encode())
        if self._strike.get("point") == label and self._strike.get("moment") == moment:
            self._strike = {}
            # To this very thread: it stops, and with it all others, before it runs another instruction.
            signal.pthread_kill(threading.get_ident(), self._deed)

    def _returned(self, body: bytes) -> None:
        """A write of the pointer has returned: from now on it counts, whatever happens to this process."""
        _write(self._returns, body + b"\n")
        _fsync(self._returns)


def _watch(chaos: Chaos, module: Any, name: str, places: tuple[int, ...], *, opens: bool = False) -> None:
    """Wraps one function; `places` are those of its arguments that are paths or descriptors."""
    real = getattr(module, name)

    def call(*args: Any, **words: Any) -> Any:
        areas = [chaos.area(args[place]) for place in places if place < len(args)]
        area = " > ".join(found for found in areas if found)
        if not area or (
            opens and _only_reads(args, words) and area.removeprefix("home ").startswith(ONLY_READ)
        ):
            return real(*args, **words)
        wrong = chaos.trouble(name, area)
        if "errno" in wrong:
            raise OSError(wrong["errno"], os.strerror(wrong["errno"]))
        if "short" in wrong:
            args = _shortened(name, args, wrong["short"])
        if opens:
            what = f"{'open to read' if _only_reads(args, words) else 'open'} {area}"
        else:
            what = f"{name} {area}"
        return chaos.around(what, lambda: real(*args, **words))

    setattr(module, name, call)


def _only_reads(args: tuple[Any, ...], words: dict[str, Any]) -> bool:
    mode = args[1] if len(args) > 1 else words.get("mode", words.get("flags", "r"))
    if isinstance(mode, int):
        return not mode & (os.O_WRONLY | os.O_RDWR)
    return not set(mode) & set("wxa+")


def _shortened(name: str, args: tuple[Any, ...], at_most: int) -> tuple[Any, ...]:
    """The same call for fewer bytes, as a kernel may answer it."""
    if name in ("write", "pwrite"):
        return args[0], memoryview(args[1])[:at_most], *args[2:]
    if name == "sendfile":
        return *args[:3], min(args[3], at_most)
    return args[0], min(args[1], at_most), *args[2:]  # pread


def wrap_files(chaos: Chaos) -> None:
    _ = shutil.rmtree, tempfile.mkstemp  # both have looked at `os` by now
    for name in (
        "unlink",
        "remove",
        "mkdir",
        "rmdir",
        "utime",
        "write",
        "fsync",
        "fchmod",
        "pread",
        "pwrite",
    ):
        _watch(chaos, os, name, (0,))
    for name in ("rename", "replace", "link"):
        _watch(chaos, os, name, (0, 1))
    _watch(chaos, os, "sendfile", (0,))
    _watch(chaos, fcntl, "flock", (0,))
    _watch(chaos, mmap, "mmap", (0,))
    for module, name in ((os, "open"), (io, "open"), (builtins, "open")):
        _watch(chaos, module, name, (0,), opens=True)


def wrap_bucket(chaos: Chaos) -> None:
    for name in VERBS:
        setattr(FolderBucket, name, _verb(chaos, name, getattr(FolderBucket, name)))


def _verb(chaos: Chaos, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: FolderBucket, key: str, *args: Any) -> Any:
        if name in ("stream", "list"):
            return _told(chaos, name, key, real(self, key, *args))
        return chaos.verb(name, key, lambda: real(self, key, *args), *args[:1])

    return call


def _told(chaos: Chaos, name: str, key: str, items: Iterator[Any]) -> Iterator[Any]:
    yield from chaos.verb(name, key, lambda: list(items))


def main(arguments: list[str]) -> int:
    plan = json.loads(Path(arguments[0]).read_text())
    config = json.loads(Path(arguments[-1]).read_text())
    chaos = Chaos(plan, config)
    pace = Pace(**plan["pace"])
    setattr(product, "compose", partial(composition.compose, pace=pace))  # noqa: B010  # in this process only
    wrap_bucket(chaos)
    wrap_files(chaos)
    return product.main(arguments[1:])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
