"""Puts one agent together from its configuration: real clock, bucket, link and node."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from outlast.bucket.client import open_bucket, scoped
from outlast.bucket.transfer import start_threads
from outlast.cadence import Pace
from outlast.clock import SystemRuntime
from outlast.config import Config, ConfigError
from outlast.loop import Agent
from outlast.node.commands import Commands
from outlast.node.environments import NodeEnvironments
from outlast.node.home import Home, HomeDisk
from outlast.node.keys import KeyRing
from outlast.node.logs import FileLog
from outlast.node.notices.detect import detect
from outlast.node.outputs import FolderOutputs
from outlast.node.power import CommandPower
from outlast.node.report import HttpLink
from outlast.node.secrets import SecretBox
from outlast.node.setup import NodeWorkplace
from outlast.node.trainer import ProcessTrainer
from outlast.node_ports import Node, Power
from outlast.ports import Bucket, Runtime
from outlast.protocol.messages import Work
from outlast.protocol.objects import job_prefix
from outlast.save.gate import Gate
from outlast.save.saves import FolderSaves
from outlast.save.stable_copy import clear_staging
from outlast.view import Identity

BOOT_BYTES = 6


def compose(config: Config, pace: Pace | None = None) -> Agent:
    """Raises ConfigError."""
    runtime, home = SystemRuntime(), Home(Path(config.home))
    try:
        home.prepare()
        lock(home.root / "agent.lock")
        home.sweep()
        log = FileLog(home.logs)
        link = HttpLink(
            config.api_url, config.token, config.instance, Path(config.ca_file) if config.ca_file else None
        )
        ring = KeyRing(link.bucket_keys, runtime) if config.job_keys else None
        bucket = scoped(open_bucket(config.storage, keys=ring), job_prefix(config.job))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        raise ConfigError(f"{config.home} can't be used as the agent's home: {error}") from error
    if ring is not None:
        ring.start()
    start_transfers(runtime, config.storage)
    power = CommandPower(home, config.poweroff, log)
    secrets = SecretBox(link.secrets)
    node = node_of(
        home, runtime, bucket, log, power, config.cloud, config.trainer_path, secrets,
        names=(config.instance, config.instance_id),
    )  # fmt: skip
    identity = Identity(
        job=config.job,
        owner=config.owner,
        instance=config.instance,
        boot=runtime.token(BOOT_BYTES),
        cloud=config.cloud,
        region=config.region,
        instance_id=config.instance_id,
    )
    pace = replace(pace or Pace(), over_off_s=config.over_off_s, fenced_off_s=config.fenced_off_s)
    return Agent(identity, runtime, link, bucket, node, lease_s=config.lease_s, pace=pace)


def node_of(
    home: Home,
    runtime: Runtime,
    bucket: Bucket,
    log: FileLog,
    power: Power,
    cloud: str = "",
    trainer_path: str = "",
    secrets: SecretBox | None = None,
    names: Collection[str] = (),
) -> Node:
    """All that touches this machine. `cloud`: who made it, where the controller has said so; `trainer_path`:
    where a trainer finds this package; `names`: those of this machine alone."""
    environments = NodeEnvironments(runtime, home, bucket, Commands(home, log), names)
    workplace = NodeWorkplace(home, bucket, log, secrets, environments)
    return Node(
        trainer=ProcessTrainer(home, log, trainer_path, secrets),
        workplace=workplace,
        saves=_saves(home, runtime, environments.python),
        notices=detect(os.environ, cloud),
        outputs=FolderOutputs(runtime, workplace.current),
        logs=log,
        disk=HomeDisk(home),
        power=power,
        environments=environments,
    )


def _saves(home: Home, runtime: Runtime, python: Callable[[], str | None]) -> FolderSaves:
    """The gate unpickles nothing itself: torch files are examined by the interpreter that the job finds."""
    clear_staging(home.staging)
    gate = Gate(shutil.which("python") or shutil.which("python3"))

    def root_of(work: Work) -> Path:
        return home.work_dir(work.code) / work.checkpoint.dir

    return FolderSaves(runtime, gate, root_of, home.staging, python=python)


def start_transfers(runtime: Runtime, storage: str) -> None:
    """The threads that encrypt and send give way to the trainer; a folder as bucket needs none."""
    if storage.startswith(("/", "file:")):
        return
    started = runtime.mailbox()

    def start() -> None:
        start_threads()
        started.put(True)

    runtime.spawn("first transfer", start, gives_way=True)
    started.get(None)


def lock(path: Path) -> None:
    """Two agents in one home would be two writers of one attempt. The kernel frees the lock with us.

    Raises ConfigError when another process holds it, OSError.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigError(f"{path.parent}: another agent runs here already") from None
