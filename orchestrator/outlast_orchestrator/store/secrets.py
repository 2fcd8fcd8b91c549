"""The values of people's secrets: files of this user alone, or the server's environment, not the store."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from outlast_orchestrator.core.errors import StoreError, UserError
from outlast_orchestrator.store.private import write_private

FOLDER = "secrets"  # below the home folder
VARIABLE = "OUTLAST_SECRET_"  # OUTLAST_SECRET_HF_TOKEN is the secret HF_TOKEN
CHARS_MAX = 65_536


class SecretFiles:
    """By name. A file wins over the environment. Names were checked: they are those of variables."""

    def __init__(self, home: Path, environment: Mapping[str, str] = os.environ) -> None:
        self._folder = home / FOLDER
        self._environment = environment

    def names(self) -> dict[str, str]:
        """Each with where its value is kept."""
        there = [name for name in self._environment if name.startswith(VARIABLE)]
        found = {name.removeprefix(VARIABLE): "environment" for name in there}
        if self._folder.is_dir():
            found |= {path.name: "file" for path in self._folder.iterdir() if path.suffix != ".new"}
        return dict(sorted(found.items()))

    def set(self, name: str, value: str) -> None:
        """Raises UserError for what no environment can hold, StoreError."""
        if not value or "\0" in value or len(value) > CHARS_MAX:
            raise UserError(f"{name}: a secret has 1 to {CHARS_MAX} characters, and no NUL among them")
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            write_private(self._folder / name, value)
        except OSError as error:
            raise StoreError(f"{self._folder / name} can't be written: {error.strerror}") from error

    def remove(self, name: str) -> bool:
        """False: there was no file of it."""
        try:
            (self._folder / name).unlink()
        except FileNotFoundError:
            return False
        return True

    def values(self, names: Iterable[str]) -> dict[str, str]:
        """Raises UserError when one is missing."""
        return {name: self._value(name) for name in names}

    def _value(self, name: str) -> str:
        file = self._folder / name
        try:
            found = file.read_text("utf-8") if file.is_file() else self._environment.get(VARIABLE + name)
        except OSError as error:
            raise StoreError(f"the secret {name} can't be read: {error.strerror}") from error
        if found is None:
            raise missing(name)
        return found


def missing(name: str) -> UserError:
    return UserError(f"there is no secret {name} on the server; `outlast secret set {name}` makes one")
