"""The commands that need no server: their names, options and help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from outlast_orchestrator.cli.arguments import Json
from outlast_orchestrator.cli.plain import PLAIN

agent_app = typer.Typer(help="The part that runs where the training is.", **PLAIN)
connect_app = typer.Typer(help="Check what jobs rest on, say what to mend, and remember it.", **PLAIN)


@agent_app.command(
    "run",
    add_help_option=False,  # its words, and its help, are those of `python -m outlast run`
    context_settings={
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
        "help_option_names": [],
    },
)
def agent_run(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="--storage URL [options] -- COMMAND...", help="See --help.")
    ] = None,
) -> None:
    """Run a command here, without a server: its checkpoints go to a storage, and it goes on from there."""
    from outlast_orchestrator.cli import foreground

    raise typer.Exit(foreground.agent_run(words or []))


def init(
    script: Annotated[Path, typer.Argument(metavar="SCRIPT", help="The training script. It is not run.")],
    force: Annotated[bool, typer.Option("-f", "--force", help="Replace a job.yaml that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write a job file for a script: recognise its framework, where it saves, and how it goes on."""
    from outlast_orchestrator.cli import begin

    begin.init(script, force, as_json)


@connect_app.command("storage")
def connect_storage(
    url: Annotated[str, typer.Argument(metavar="URL", help="e.g. s3://bucket/prefix")],
    only_check: Annotated[bool, typer.Option("--only-check", help="Do not remember it.")] = False,
    as_json: Json = False,
) -> None:
    """Check a bucket for jobs: rights, conditional writes, parts, clock, rules, speed."""
    from outlast_orchestrator.cli import connect

    raise typer.Exit(connect.storage(url, only_check, as_json))


def login(
    url: Annotated[str, typer.Argument(metavar="URL", help="e.g. https://outlast.example:8443")],
    ca_file: Annotated[
        Path | None,
        typer.Option("--ca-file", metavar="FILE", help="The authority of its certificate."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Talk to a server elsewhere from now on. Its admin token is typed in, or read from stdin."""
    from outlast_orchestrator.cli import login

    login.login(url, ca_file, as_json)


def logout(as_json: Json = False) -> None:
    """Talk to the server of this machine again."""
    from outlast_orchestrator.cli import login

    login.logout(as_json)
