"""The commands of `outlast`: their names, options and help. What they do is loaded when they are called."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from outlast_orchestrator.cli.arguments import Env, FileArgument, Follow, JobArgument, Json, Ports, Yes
from outlast_orchestrator.cli.checkpoint_commands import checkpoints_app
from outlast_orchestrator.cli.here import agent_app, connect_app, init, login, logout
from outlast_orchestrator.cli.plain import PLAIN, OneLineErrors
from outlast_orchestrator.cli.quick_help import ASKS, names_only
from outlast_orchestrator.cli.secret_commands import secret_app
from outlast_orchestrator.core.errors import UserError

app = typer.Typer(
    name="outlast",
    help="Training that outlasts its machines.",
    cls=OneLineErrors,
    add_completion=False,
    pretty_exceptions_enable=False,
    **PLAIN,
)
server_app = typer.Typer(help="Start and stop the controller with its API.", **PLAIN)
admin_app = typer.Typer(help="For when something must be put right by hand.", **PLAIN)
outputs_app = typer.Typer(help="The files that a job leaves.", **PLAIN)
app.add_typer(server_app, name="server")
app.add_typer(agent_app, name="agent")
app.command()(init)
app.command()(login)
app.command()(logout)
app.add_typer(admin_app, name="admin")
app.add_typer(checkpoints_app, name="checkpoints")
app.add_typer(outputs_app, name="outputs")
app.add_typer(connect_app, name="connect")
app.add_typer(secret_app, name="secret")


@server_app.command("start")
def server_start(
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Return when it answers.")] = False,
    from_backup: Annotated[
        Path | None, typer.Option("--from-backup", metavar="FILE", help="Make this backup the store first.")
    ] = None,
    force: Annotated[bool, typer.Option("-f", "--force", help="Also over a newer store.")] = False,
    as_json: Json = False,
) -> None:
    """Start the server: in this terminal, or beside it with -d."""
    if force and from_backup is None:
        raise UserError("-f goes with --from-backup FILE: there is nothing else that it would replace")
    if not detach:
        from outlast_orchestrator.cli import foreground

        raise typer.Exit(foreground.serve(from_backup, force))
    from outlast_orchestrator.cli import daemon, output

    found = daemon.start(daemon.command(from_backup, force), daemon.limit_s(from_backup))
    if from_backup is not None:
        output.note(f"the store is restored from {from_backup}; the one before it is kept beside it")
    daemon.warn_of_login()
    if as_json:
        output.result({"url": found["url"], "pid": found["pid"]})
    else:
        output.say(f"the server runs at {found['url']} (pid {found['pid']}); `outlast server stop` ends it")


@server_app.command("stop")
def server_stop(as_json: Json = False) -> None:
    """Stop the server. Jobs go on."""
    from outlast_orchestrator.cli import daemon, output

    found = daemon.stop()
    if as_json:
        output.result({"url": found["url"], "pid": found["pid"]})


@app.command()
def submit(
    file: FileArgument,
    watch: Annotated[bool, typer.Option("--watch", help="Stay until it is over; Ctrl-C detaches.")] = False,
    env: Env = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Show plan and price, ask, submit. With --watch, exit by the job's outcome."""
    from outlast_orchestrator.cli import submit as work

    raise typer.Exit(work.submit(file, env or [], work.Manner(yes, as_json, watch)))


@app.command(context_settings={"allow_interspersed_args": False})
def run(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="What to run.")],
    name: Annotated[str, typer.Option("--name", help="The job's name.")] = "",
    gpus: Annotated[str, typer.Option("--gpus", metavar="KIND:N", help="e.g. H100:8")] = "",
    checkpoint_dir: Annotated[str, typer.Option("--checkpoint-dir", help="Where it saves.")] = "",
    outputs: Annotated[list[str] | None, typer.Option("--outputs", help="What it leaves.")] = None,
    env: Env = None,
    yes: Yes = False,
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Do not stay with it.")] = False,
    as_json: Json = False,
) -> None:
    """Run a command of this folder as a job, without a job file."""
    from outlast_orchestrator.cli import submit as work

    values: dict[str, Any] = {
        "name": name,
        "resources": {"gpus": gpus} if gpus else {},
        "checkpoint": {"dir": checkpoint_dir} if checkpoint_dir else {},
        "outputs": list(outputs or []),
    }
    raise typer.Exit(work.run(command, values, env or [], work.Manner(yes, as_json, not detach)))


@app.command()
def plan(file: FileArgument, env: Env = None, as_json: Json = False) -> None:
    """Show where a job file would run, and for what price. Starts nothing."""
    from outlast_orchestrator.cli import submit as work

    work.plan(file, env or [], as_json)


@app.command()
def update(job: JobArgument, file: FileArgument, env: Env = None, as_json: Json = False) -> None:
    """Give a job new code, env and settings; it goes on from its checkpoint, also after a failure."""
    from outlast_orchestrator.cli import submit as work

    work.update(job, file, env or [], as_json)


@app.command()
def ps(as_json: Json = False) -> None:
    """List all jobs."""
    from outlast_orchestrator.cli import jobs

    jobs.ps(as_json)


@app.command()
def status(job: JobArgument, as_json: Json = False) -> None:
    """Show a job: state, why, attempts, machines, last checkpoint, cost."""
    from outlast_orchestrator.cli import jobs

    jobs.status(job, as_json)


@app.command()
def why(job: JobArgument, as_json: Json = False) -> None:
    """Tell what led to a job's state, from the last minutes' events."""
    from outlast_orchestrator.cli import jobs

    jobs.why(job, as_json)


@app.command()
def logs(
    job: JobArgument,
    follow: Follow = False,
    attempt: Annotated[int | None, typer.Option("--attempt", min=1, help="Default: the newest.")] = None,
    rank: Annotated[int, typer.Option("--rank", min=0, help="Which node of the attempt.")] = 0,
) -> None:
    """Print what a job prints."""
    from outlast_orchestrator.cli import follow as work

    work.logs(job, attempt, rank, follow)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Ask each configured cloud whether it can be used, and say how its machines are reached."""
    from outlast_orchestrator.cli import jobs

    raise typer.Exit(jobs.doctor(as_json))


@app.command(context_settings={"allow_interspersed_args": False})
def ssh(
    job: JobArgument,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND...]", help="Default: a shell.")
    ] = None,
    rank: Annotated[int, typer.Option("--rank", min=0, help="Which node of the attempt.")] = 0,
    port: Ports = None,
) -> None:
    """Go onto a job's machine, or run a command there. Where the server runs."""
    from outlast_orchestrator.cli import shell

    raise typer.Exit(shell.ssh(job, shell.visit(command or [], rank, port or [])))


@app.command()
def events(
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="Default: of everything.")] = None,
    follow: Follow = False,
    last: Annotated[int, typer.Option("--last", min=0, max=1000, help="How many; 0: all.")] = 100,
    as_json: Json = False,
) -> None:
    """Print the event log: when, what, why. With -f and --json, one object a line."""
    from outlast_orchestrator.cli import jobs

    jobs.events(job, last, follow, as_json)


@app.command()
def cancel(job: JobArgument, as_json: Json = False) -> None:
    """End a job. Its checkpoints stay."""
    _wish(job, "cancel", as_json)


@app.command()
def pause(job: JobArgument, as_json: Json = False) -> None:
    """Have a job save and release its machines."""
    _wish(job, "pause", as_json)


@app.command()
def resume(job: JobArgument, as_json: Json = False) -> None:
    """Have a paused or failed job go on from its last checkpoint."""
    _wish(job, "resume", as_json)


def _wish(job: str, what: str, as_json: bool) -> None:
    from outlast_orchestrator.cli import jobs

    jobs.wish(job, what, as_json)


@admin_app.command("restart")
def admin_restart(
    job: JobArgument,
    now: Annotated[bool, typer.Option("--now", help="Without a final save.")] = False,
    start_from: Annotated[
        str, typer.Option("--from", metavar="STEP", help="A step or a name out of `checkpoints ls`.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Give a job a new attempt, also when it is over; with --from, back from an older checkpoint."""
    from outlast_orchestrator.cli import jobs

    jobs.restart(job, now, start_from, as_json)


@admin_app.command("backup")
def admin_backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")],
    force: Annotated[bool, typer.Option("-f", "--force", help="Overwrite it.")] = False,
    as_json: Json = False,
) -> None:
    """Copy the controller's store into a file, also while the server runs."""
    from outlast_orchestrator.cli import foreground

    foreground.backup(file, force, as_json)


@admin_app.command("orphans")
def admin_orphans(
    terminate: Annotated[bool, typer.Option("--terminate", help="End them, after a question.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """List machines that carry our tag and belong to no job; --terminate ends them."""
    from outlast_orchestrator.cli import orphans

    raise typer.Exit(orphans.orphans(terminate=terminate, yes=yes, as_json=as_json))


@outputs_app.command("get")
def outputs_get(
    job: JobArgument,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to put them.")],
    as_json: Json = False,
) -> None:
    """Fetch what a job left."""
    from outlast_orchestrator.cli import jobs

    jobs.outputs(job, folder, as_json)


@app.command()
def demo(
    as_json: Json = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the folder it worked in.")] = False,
    open_report: Annotated[bool, typer.Option("--open", help="Open the report at the end.")] = False,
) -> None:
    """Train a small model here while its machines are taken away, and compare with an undisturbed run."""
    from outlast_orchestrator.cli import foreground

    raise typer.Exit(foreground.demo(as_json, keep, open_report))


def main() -> None:
    (names_only(app) if sys.argv[1:] in ASKS else app)()


if __name__ == "__main__":
    main()
