"""Values that must not stand in a command line: typed without being shown, or piped in."""

from __future__ import annotations

import getpass
import sys

from outlast_orchestrator.core.errors import UserError


def value(what: str, piped: str) -> str:
    """`piped`: how it is given without typing. Raises UserError when nothing came."""
    found = getpass.getpass(f"{what}: ") if sys.stdin.isatty() else sys.stdin.read()
    found = found.removesuffix("\n").removesuffix("\r")
    if not found:
        raise UserError(f"{what}: no value came; type it, or pipe it in: {piped}")
    return found
