"""`outlast --help` without the options of every command: reading those takes most of its time."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

import typer

ASKS = (["-h"], ["--help"])


def names_only(app: typer.Typer) -> typer.Typer:
    """The same commands by name and help, without options: all that the first page of help shows."""
    light = copy(app)
    light.registered_commands = [copy(info) for info in app.registered_commands]
    for info in light.registered_commands:
        info.callback = _like(info.callback)
    light.registered_groups = [copy(info) for info in app.registered_groups]
    for group in light.registered_groups:
        group.typer_instance = copy(group.typer_instance)
        assert group.typer_instance is not None
        group.typer_instance.registered_commands = group.typer_instance.registered_commands[:0]
        group.typer_instance.registered_groups = []
    return light


def _like(command: Callable[..., Any] | None) -> Callable[[], None]:
    def named() -> None:
        return None

    if command is not None:
        named.__name__, named.__doc__ = command.__name__, command.__doc__
    return named
