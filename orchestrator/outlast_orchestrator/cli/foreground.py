"""The commands that are whole programs of their own, in this process: the server and the demo."""

from __future__ import annotations

import importlib

from outlast_orchestrator.cli.exits import Exit
from outlast_orchestrator.core.errors import UserError


def serve() -> int:
    """Runs the server until it is told to end."""
    settings = importlib.import_module("outlast_orchestrator.settings")
    server = importlib.import_module("outlast_orchestrator.server")
    return int(server.serve(settings.load_settings()) or Exit.SUCCESS)


def demo(as_json: bool, keep: bool, open_report: bool) -> int:
    try:
        program = importlib.import_module("outlast_orchestrator.demo.main")
    except ModuleNotFoundError as error:
        raise UserError(
            f"the demo needs a part that is not installed ({error.name}): install outlast[orchestrator,torch]"
        ) from error
    return int(program.run(as_json, keep, open_report) or Exit.SUCCESS)
