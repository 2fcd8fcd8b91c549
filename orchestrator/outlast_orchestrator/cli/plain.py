"""How every command of `outlast` speaks: plain help, and errors of one line."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from outlast_orchestrator.cli import output
from outlast_orchestrator.cli.exits import exit_code
from outlast_orchestrator.core.errors import OutlastError


class OneLineErrors(TyperGroup):
    """Shows an error that was raised on purpose as its message, and exits by its kind."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except OutlastError as error:
            output.note(f"outlast: {error}")
            raise typer.Exit(exit_code(error)) from None


# No rich in help and errors: loading it takes longer than most commands.
PLAIN: dict[str, Any] = {
    "no_args_is_help": True,
    "rich_markup_mode": None,
    "context_settings": {"help_option_names": ["-h", "--help"], "max_content_width": 110},
}
