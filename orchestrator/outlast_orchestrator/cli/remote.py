"""The server elsewhere that a person has logged in to: remembered for this user alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from outlast_orchestrator.core.errors import UserError

FILE = "remote.json"
KEYS = {"url", "token", "ca_file"}


def read_remote(folder: Path) -> dict[str, str] | None:
    """None: this user is logged in nowhere. Raises UserError."""
    path = folder / FILE
    try:
        value: Any = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read: log in again, or `outlast logout` ({error})") from error
    if (
        not isinstance(value, dict)
        or set(value) != KEYS
        or not all(isinstance(v, str) for v in value.values())
    ):
        raise UserError(f"{path} is damaged: log in again, or `outlast logout`")
    return value


def remember(folder: Path, url: str, token: str, ca_file: str) -> Path:
    """Raises UserError."""
    path = folder / FILE
    fresh = path.with_name(f".{FILE}.new")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump({"url": url, "token": token, "ca_file": ca_file}, file)
        fresh.replace(path)
    except OSError as error:
        raise UserError(f"{path} can't be written: {error.strerror}") from error
    return path


def forget(folder: Path) -> bool:
    """False: there was nothing to forget."""
    try:
        (folder / FILE).unlink()
    except FileNotFoundError:
        return False
    return True


def elsewhere(folder: Path) -> str:
    """The server that commands talk to when it is not this machine's own; "" when it is."""
    remote = read_remote(folder)
    return os.environ.get("OUTLAST_URL") or (remote["url"] if remote else "")
