"""A question with yes or no, before something is done that can't be taken back or that costs money."""

from __future__ import annotations

import typer

from outlast_orchestrator.core.errors import UserError


def agreed(question: str, *, default: bool, left_undone: str) -> bool:
    """On stderr. Ctrl-C is an answer: no. Raises UserError, which says what was `left_undone`."""
    try:
        return typer.confirm(question, default=default, err=True)
    except typer.Abort as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            return False
        raise UserError(f"{left_undone}: nobody answered; add -y to do it without being asked") from error
