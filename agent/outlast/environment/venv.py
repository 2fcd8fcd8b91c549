"""A virtual environment: how it is made, and what a process finds in its environment to use it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

PATH_WITHOUT = "/usr/local/bin:/usr/bin:/bin"


def making(python: str, folder: Path) -> str:
    """A shell command. Some distributions leave out what puts pip into it: then the system's pip does."""
    own, at, inside = shlex.quote(python), shlex.quote(str(folder)), shlex.quote(str(interpreter(folder)))
    alone = f"{own} -m pip --disable-pip-version-check --python {inside} install --quiet pip"
    return f"{own} -m venv {at} || {{ {own} -m venv --clear --without-pip {at} && {alone}; }}"


def interpreter(folder: Path) -> Path:
    return folder / "bin" / "python"


def activated(variables: Mapping[str, str], folder: str) -> dict[str, str]:
    """As its own `activate` does it."""
    path = variables.get("PATH") or PATH_WITHOUT
    kept = {name: value for name, value in variables.items() if name != "PYTHONHOME"}
    return {**kept, "VIRTUAL_ENV": folder, "PATH": f"{folder}/bin:{path}"}
