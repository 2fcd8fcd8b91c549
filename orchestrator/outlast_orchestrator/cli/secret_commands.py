"""The commands of `outlast secret`: their names, options and help."""

from __future__ import annotations

from typing import Annotated

import typer

from outlast_orchestrator.cli.arguments import Json
from outlast_orchestrator.cli.plain import PLAIN

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the environment variable, e.g. HF_TOKEN.")]

secret_app = typer.Typer(help="Values that only trainers see: tokens, passwords.", **PLAIN)


@secret_app.command("set")
def secret_set(name: Name, as_json: Json = False) -> None:
    """Keep a value on the server: typed in, or from stdin."""
    from outlast_orchestrator.cli import secrets

    secrets.keep(name, as_json)


@secret_app.command("ls")
def secret_ls(as_json: Json = False) -> None:
    """List the names, never the values."""
    from outlast_orchestrator.cli import secrets

    secrets.show(as_json)


@secret_app.command("rm")
def secret_rm(name: Name, as_json: Json = False) -> None:
    """Remove one; jobs that name it can't start again."""
    from outlast_orchestrator.cli import secrets

    secrets.remove(name, as_json)
