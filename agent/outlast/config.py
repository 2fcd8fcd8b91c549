"""Reads the agent's configuration file; what is wrong with it is one line for a person."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from outlast.protocol.codec import FormatError, load
from outlast.protocol.limits import FENCED_OFF_S, LEASE_S, OVER_OFF_S

POWER_OFF_VARIABLE = "OUTLAST_POWEROFF"
OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class ConfigError(Exception):
    """One line: what is wrong, where, how to mend it."""


@dataclass(frozen=True)
class Config:
    """What the agent needs to start: everything else comes with its first commands."""

    api_url: str
    token: str
    job: str
    owner: str
    instance: str  # launch id
    storage: str
    lease_s: float = LEASE_S
    over_off_s: float = OVER_OFF_S
    fenced_off_s: float = FENCED_OFF_S
    cloud: str = ""
    region: str = ""
    instance_id: str = ""  # the cloud's
    home: str = ""  # "": the folder of this file
    poweroff: tuple[str, ...] = ()  # (): what the environment names, if it does
    trainer_path: str = ""  # where the trainer finds this package, if it has none of its own
    job_keys: bool = False  # the bucket's keys come from the controller, for this job alone
    ca_file: str = ""  # for https with a private authority


def read_config(path: Path, environment: Mapping[str, str]) -> Config:
    """Raises ConfigError."""
    try:
        mode = path.stat().st_mode
        body = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give the agent's file with --config") from error
    if mode & OPEN_TO_OTHERS:
        raise ConfigError(f"{path}: others may read it, and it holds a token; run: chmod 600 {path}")
    try:
        config = load(Config, body)
    except FormatError as error:
        raise ConfigError(f"{path}: {error}") from error
    for name in ("api_url", "token", "job", "owner", "instance", "storage"):
        if not getattr(config, name):
            raise ConfigError(f"{path}: {name} is empty")
    for name in ("lease_s", "over_off_s", "fenced_off_s"):
        if getattr(config, name) <= 0:
            raise ConfigError(f"{path}: {name} must be more than 0")
    home = config.home or str(path.resolve().parent)
    poweroff = config.poweroff
    if not poweroff and environment.get(POWER_OFF_VARIABLE):
        poweroff = (environment[POWER_OFF_VARIABLE],)
    return Config(**{**vars(config), "home": os.path.abspath(home), "poweroff": poweroff})
