"""`agent run` from its command line to its exit status: examine, put together, run, say how it ended."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from outlast.alone.judge import EXIT_TAKEN_OVER, Done
from outlast.alone.link import OWNER, LoneLink
from outlast.alone.options import PERSON_LIMIT_S, Options, parse
from outlast.alone.show import Show
from outlast.bucket.client import open_bucket, scoped
from outlast.bucket.generations import read_pointer
from outlast.bucket.pointer import BadPointer
from outlast.bucket.probe import BucketRefused, probe
from outlast.cadence import Pace, retry_in_s
from outlast.clock import SystemRuntime
from outlast.config import ConfigError
from outlast.loop import Agent
from outlast.node.compose import BOOT_BYTES, lock, node_of, start_transfers
from outlast.node.home import Home
from outlast.node.logs import FileLog
from outlast.ports import Bucket, BucketError, Denied, Runtime
from outlast.protocol.messages import Work
from outlast.protocol.objects import job_prefix
from outlast.save.places import candidates
from outlast.view import Identity

EXIT_BAD_INPUT = 2
HOME = ".outlast"
PROBE_BYTES = 8
BUCKET_TRIES = 6  # about a minute, then whoever started it may start it again
LAST_WORDS_S = 10.0  # for the log's last lines to reach the bucket, and the terminal
LOOK_S = 0.1
OWN_WORDS = ("PYTHONUNBUFFERED", "WANDB_RUN_ID", "WANDB_RESUME")  # a person's own setting wins


@dataclass(frozen=True)
class Rhythm:
    """What only tests make shorter."""

    pace: Pace
    look_every_s: float = 5.0
    lease_s: float | None = None  # None: that of the command line


def main(arguments: Sequence[str], prog: str = "python -m outlast run", rhythm: Rhythm | None = None) -> int:
    try:
        options = parse(arguments, os.environ, prog)
        return run(options, rhythm or Rhythm(Pace()))
    except ConfigError as error:
        sys.stderr.write(f"outlast: {error}\n")
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        return 128 + signal.SIGINT  # before anything was begun


def run(options: Options, rhythm: Rhythm) -> int:
    """Raises ConfigError for what is wrong on this machine or with the storage."""
    options = replace(options, storage=_absolute(options.storage))
    runtime, folder, host = SystemRuntime(), Path.cwd(), _host()
    try:
        bucket = scoped(open_bucket(options.storage), job_prefix(options.name))
    except (ValueError, BucketError) as error:
        raise ConfigError(f"--storage: {error}") from error
    try:
        home = _home(folder, options, host)
        log = FileLog(home.logs)
    except OSError as error:
        raise ConfigError(f"{folder / HOME}: {error}; run it in a folder that you may write") from error
    start_transfers(runtime, options.storage)
    if not _storage_answers(runtime, bucket, options):
        return EXIT_TAKEN_OVER
    return _Run(options, rhythm, runtime, bucket, home, log, host).go()


class _Run:
    """One run, put together: the same agent as a controller's, with `LoneLink` in the controller's place."""

    def __init__(
        self,
        options: Options,
        rhythm: Rhythm,
        runtime: Runtime,
        bucket: Bucket,
        home: Home,
        log: FileLog,
        host: str,
    ) -> None:
        self._drain_limit_s = options.drain_limit_s
        self._runtime = runtime
        self._log = log
        self._lease_s = rhythm.lease_s or options.lease_s
        self._asked = 0  # the signal that told us to leave
        self._show = Show(
            runtime, home.logs / "output.log", sys.stdout.buffer, sys.stderr.buffer, live=sys.stderr.isatty()
        )
        self._link = LoneLink(
            runtime, bucket, options.name, _work(options, os.environ), lease_s=self._lease_s,
            restart=options.restart, look_every_s=rhythm.look_every_s, stop=self._stop, show=self._show.seen,
            note=self._note,
        )  # fmt: skip
        identity = Identity(options.name, OWNER, host, runtime.token(BOOT_BYTES))
        self._agent = Agent(
            identity, runtime, self._link, bucket, node_of(home, runtime, bucket, log, _Nobody(log)),
            lease_s=self._lease_s, pace=rhythm.pace, alone=True,
        )  # fmt: skip

    def go(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, self._told_to_leave)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal is gone; the training goes on
        code = self._agent.run()
        if self._link.assigned and code == 0:  # else the storage is away
            self._ship_last_lines()
        done = self._outcome(code)
        self._show.note("", done.why)
        self._show.finish(LAST_WORDS_S)
        return done.code

    def _outcome(self, code: int) -> Done:
        done = self._link.done
        if self._asked and (done is None or done.left):
            return Done(128 + self._asked, "left as it was told to; start it again to go on")
        return done or Done(
            code, "the storage took no write for the whole lease; the trainer is stopped. Start it again"
        )

    def _told_to_leave(self, number: int, _frame: object) -> None:
        again = self._asked == number == signal.SIGINT
        self._asked = self._asked or number
        limit_s = self._drain_limit_s
        if limit_s is None and number == signal.SIGINT:
            limit_s = PERSON_LIMIT_S
        if not again and limit_s is not None and number == signal.SIGINT:
            # Written past every lock that the interrupted code may hold.
            os.write(2, b"outlast: a last save, for %.0f s at most; Ctrl-C again leaves at once\n" % limit_s)
        self._agent.shutdown(0.0 if again else limit_s)

    def _stop(self) -> None:
        self._agent.shutdown()

    def _note(self, kind: str, text: str) -> None:
        self._log.say(f"{kind}: {text}" if kind else text)
        self._show.note(kind, text)

    def _ship_last_lines(self) -> None:
        for _ in range(int(LAST_WORDS_S / LOOK_S)):
            if not self._log.peek(1):
                return
            self._runtime.sleep(LOOK_S)


class _Nobody:
    """The port `Power`: this machine is a person's, and a lone agent never asks."""

    def __init__(self, log: FileLog) -> None:
        self._log = log

    def off(self, why: str) -> None:
        self._log.say(f"this machine stays on: {why}")


def _work(options: Options, environment: Mapping[str, str]) -> Work:
    env = {name: environment[name] for name in OWN_WORDS if name in environment}
    return Work(
        name=options.name, owner=OWNER, revision=1, run=options.command, env=env, outputs=options.outputs,
        checkpoint=options.checkpoint,
    )  # fmt: skip


def _home(folder: Path, options: Options, host: str) -> Home:
    """A home for each machine, since folders may be shared; one run a checkpoint folder. Raises OSError."""
    home = Home(folder / HOME / f"{options.name}@{host}", folder)
    home.prepare()
    locks = folder / HOME / "locks"
    locks.mkdir(exist_ok=True)
    try:
        lock(locks / quote(os.path.normpath(options.checkpoint.dir), safe=""))
        lock(home.root / "agent.lock")
    except ConfigError as error:
        raise ConfigError(
            f"{folder / options.checkpoint.dir}: another `agent run` works there; give this one its own"
        ) from error
    home.sweep()
    return home


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", socket.gethostname()).strip("-.")[:40] or "here"


def _absolute(storage: str) -> str:
    """A plain folder is taken as it is written in a shell."""
    return os.path.abspath(os.path.expanduser(storage)) if "://" not in storage else storage


def _storage_answers(runtime: Runtime, bucket: Bucket, options: Options) -> bool:
    """Examines the storage, and what lies in the folder before the first run of a job. Raises ConfigError."""
    for tried in range(BUCKET_TRIES):
        try:
            probe(bucket, runtime.token(PROBE_BYTES))
            fresh = read_pointer(bucket, OWNER, options.name) is None
        except (BucketRefused, Denied, BadPointer) as error:
            raise ConfigError(f"--storage {options.storage}: {error}") from error
        except BucketError as error:
            sys.stderr.write(f"outlast: the storage does not answer: {error}\n")
            if tried + 1 < BUCKET_TRIES:
                runtime.sleep(retry_in_s(tried + 1))
            continue
        if fresh and not options.keep_existing:
            _refuse_strangers(Path.cwd() / options.checkpoint.dir)
        return True
    return False


def _refuse_strangers(root: Path) -> None:
    here = [(candidate.files or (candidate.at,))[0].name for _, candidate in candidates(root)]
    if here:
        raise ConfigError(
            f"{root} holds checkpoints ({here[0]}) and the storage none: they are not of this job. Move them "
            "away, give another --dir, or leave them to COMMAND with --keep-existing"
        )
