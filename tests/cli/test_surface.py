"""The commands and options are a promise to scripts: they change only together with this list's file."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import typer

from outlast_orchestrator import server, settings
from outlast_orchestrator.cli.main import app
from outlast_orchestrator.demo import main as demo

GOLDEN = Path(__file__).parents[1] / "golden" / "cli_surface.txt"
PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def _surface(command: Any, path: str) -> list[str]:
    lines = []
    for parameter in command.params:
        names = parameter.opts if parameter.param_type_name == "option" else [f"<{parameter.name}>"]
        lines.append(" ".join([path, "/".join(sorted(names))]))
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        lines.append(f"{path} {name}")
        lines += _surface(inner, f"{path} {name}")
    return lines


def _commands(command: Any, path: str) -> list[str]:
    found = []
    for name, inner in getattr(command, "commands", {}).items():
        found += _commands(inner, f"{path} {name}") if hasattr(inner, "commands") else [f"{path} {name}"]
    return found


def test_the_surface_is_the_frozen_one() -> None:
    assert "\n".join(_surface(typer.main.get_command(app), "outlast")) + "\n" == GOLDEN.read_text()


def test_every_command_is_on_the_page() -> None:
    page = PAGE.read_text()
    missing = [name for name in _commands(typer.main.get_command(app), "outlast") if f"`{name}" not in page]
    assert missing == []


def test_every_command_and_option_says_what_it_does() -> None:
    def bare(command: Any, path: str) -> list[str]:
        found = [] if command.help else [path]
        found += [f"{path} {o.name}" for o in command.params if not o.help and o.name != "help"]
        for name, inner in getattr(command, "commands", {}).items():
            found += bare(inner, f"{path} {name}")
        return found

    assert bare(typer.main.get_command(app), "outlast") == []


def test_the_programs_behind_commands_take_what_these_give() -> None:
    inspect.signature(demo.run).bind(True, True, True)
    inspect.signature(server.serve).bind(object())
    inspect.signature(settings.load_settings).bind()
