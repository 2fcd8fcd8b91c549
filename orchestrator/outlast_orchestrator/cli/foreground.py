"""The commands that are whole programs of their own, in this process: the server and the demo."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

from outlast.alone import main as alone
from outlast_orchestrator.cli import output
from outlast_orchestrator.cli.exits import Exit
from outlast_orchestrator.core.errors import UserError


def serve(from_backup: Path | None, force: bool) -> int:
    """Runs the server until it is told to end."""
    settings = importlib.import_module("outlast_orchestrator.settings")
    server = importlib.import_module("outlast_orchestrator.server")
    return int(server.serve(settings.load_settings(), from_backup, force) or Exit.SUCCESS)


def backup(file: Path, force: bool, as_json: bool) -> None:
    """The store is a file of this machine: no server is asked."""
    if os.environ.get("OUTLAST_URL"):
        raise UserError("OUTLAST_URL is set: run `outlast admin backup` where that server runs")
    settings = importlib.import_module("outlast_orchestrator.settings")
    server = importlib.import_module("outlast_orchestrator.server")
    made = server.backup(settings.load_settings(), file.absolute(), force)
    if as_json:
        output.result({"file": str(file.absolute()), "jobs": made.jobs, "events": made.event_max})
    else:
        output.say(f"{file}: {made.jobs} jobs; it holds keys, so keep it as you keep a password")


def agent_run(words: list[str]) -> int:
    """The agent alone, in this process: its own command line, exit statuses and signals."""
    if words and not words[0].startswith("-"):
        words = ["--", *words]  # it stood first, and was taken for the end of our own options
    return alone.main(words, prog="outlast agent run")


def demo(as_json: bool, keep: bool, open_report: bool) -> int:
    try:
        program = importlib.import_module("outlast_orchestrator.demo.main")
    except ModuleNotFoundError as error:
        raise UserError(
            f"the demo needs a part that is not installed ({error.name}): install outlast[orchestrator,torch]"
        ) from error
    return int(program.run(as_json, keep, open_report) or Exit.SUCCESS)
