"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Name or id of the job.")]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The job file.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")]
Env = Annotated[list[str] | None, typer.Option("-e", "--env", metavar="K=V", help="Sets an env of the job.")]
Follow = Annotated[bool, typer.Option("-f", "--follow", help="Go on with what comes.")]
Ports = Annotated[
    list[int] | None, typer.Option("-L", metavar="PORT", help="Its port of that number, on this machine.")
]
