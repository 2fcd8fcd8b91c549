"""The commands of `outlast checkpoints`: their names, options and help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from outlast_orchestrator.cli.arguments import JobArgument, Json
from outlast_orchestrator.cli.plain import PLAIN


def _step(default: str) -> Any:
    return typer.Option("--step", metavar="STEP", help=f"A step or a name; default: {default}.")


AllSteps = Annotated[str, _step("all that is kept")]
Newest = Annotated[str, _step("the newest")]
OnlyPin = Annotated[str, _step("the only pin")]

checkpoints_app = typer.Typer(help="A job's checkpoints.", **PLAIN)


@checkpoints_app.command("ls")
def checkpoints_ls(job: JobArgument, as_json: Json = False) -> None:
    """List the checkpoints that can be resumed from."""
    from outlast_orchestrator.cli import jobs

    jobs.checkpoints(job, as_json)


@checkpoints_app.command("verify")
def checkpoints_verify(job: JobArgument, step: AllSteps = "", as_json: Json = False) -> None:
    """Compare every byte in the bucket with its hash, and say what a resume would take."""
    from outlast_orchestrator.cli import checkpoints

    raise typer.Exit(checkpoints.verify(job, step, as_json))


@checkpoints_app.command("pin")
def checkpoints_pin(job: JobArgument, step: Newest = "", as_json: Json = False) -> None:
    """Keep a checkpoint, whatever is saved later."""
    from outlast_orchestrator.cli import checkpoints

    checkpoints.pin(job, step, as_json)


@checkpoints_app.command("unpin")
def checkpoints_unpin(job: JobArgument, step: OnlyPin = "", as_json: Json = False) -> None:
    """Let a pinned checkpoint go when its turn comes."""
    from outlast_orchestrator.cli import checkpoints

    checkpoints.unpin(job, step, as_json)


@checkpoints_app.command("get")
def checkpoints_get(
    job: JobArgument,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to put it.")],
    step: Newest = "",
    force: Annotated[
        bool, typer.Option("-f", "--force", help="Also when DIR holds something: that is moved aside.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fetch a checkpoint into a folder, verified; also of a job that is over."""
    from outlast_orchestrator.cli import checkpoints

    checkpoints.get(job, folder, step, force=force, as_json=as_json)
