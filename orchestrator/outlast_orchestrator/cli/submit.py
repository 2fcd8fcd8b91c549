"""Takes a job file or a command line to the server: check, plan, ask, upload, submit, and stay if wanted."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outlast_orchestrator.cli import follow, jobs, output, render
from outlast_orchestrator.cli.asking import agreed
from outlast_orchestrator.cli.client import Client, connect, job_path, who
from outlast_orchestrator.cli.exits import Exit
from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.jobfile.load import JobFile, load_job_file, load_values
from outlast_orchestrator.jobfile.pack import pack_workdir

OFFERS_MAX = 5  # before the question


@dataclass(frozen=True)
class Manner:
    yes: bool = False  # do not ask
    as_json: bool = False
    watch: bool = False


def env_pairs(pairs: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UserError(f"-e {pair}: write it as NAME=VALUE")
        found[name] = value
    return found


def submit(file: Path, env: Sequence[str], manner: Manner) -> Exit:
    return _send(load_job_file(file, env_pairs(env)), manner)


def run(command: Sequence[str], values: dict[str, Any], env: Sequence[str], manner: Manner) -> Exit:
    """One word is a shell command as it is; several are quoted so that each stays one."""
    text = command[0] if len(command) == 1 else shlex.join(command)
    told = {key: value for key, value in values.items() if value}
    jobfile = load_values({"run": text, **told}, "the command line", Path.cwd(), env_pairs(env))
    return _send(jobfile, manner)


def plan(file: Path, env: Sequence[str], as_json: bool) -> None:
    jobfile = load_job_file(file, env_pairs(env))
    with connect() as client:
        found = _plan(client, jobfile)
    if as_json:
        output.result({key: value for key, value in found.items() if key != "id"})
    else:
        render.plan_view(found, render.console())


def update(name: str, file: Path, env: Sequence[str], as_json: bool) -> None:
    jobfile = load_job_file(file, env_pairs(env))
    with connect() as client:
        job_id = client.get(job_path(name))["id"]
        if not as_json:
            jobs.tell_unsaved(client, job_id)
        body = {"spec": _spec(jobfile), "code": _upload(client, job_id, jobfile), "by": who()}
        answer = client.put(job_path(job_id, "spec"), body)
    if as_json:
        output.result(answer)
    else:
        output.say(answer["answer"])


def _spec(jobfile: JobFile) -> dict[str, Any]:
    value: dict[str, Any] = jobfile.spec.model_dump(mode="json", exclude_none=True)
    return value


def _plan(client: Client, jobfile: JobFile) -> dict[str, Any]:
    return client.post("/v1/plan", {"name": jobfile.name, "spec": _spec(jobfile)})


def _upload(client: Client, job_id: str, jobfile: JobFile) -> str:
    """Packs the working folder and brings it to the bucket; its key, or "" when there is none."""
    packed = pack_workdir(jobfile)
    if packed is None:
        return ""
    client.upload(job_path(job_id, "code", packed.digest), packed.body)
    return packed.key


def _send(jobfile: JobFile, manner: Manner) -> Exit:
    with connect() as client:
        found = _plan(client, jobfile)
        if found.get("taken"):
            raise UserError(
                f"a job named {found['name']!r} is not over yet ({found['taken']}): choose another name, or "
                f"cancel that one first; `outlast update {found['name']} FILE` gives it new code"
            )
        render.plan_view(found, render.console(stderr=True), OFFERS_MAX)
        if not (manner.yes or agreed(f"Submit {found['name']}?", default=True, left_undone="not submitted")):
            output.note("not submitted")
            return Exit.LEFT
        body = {
            "id": found["id"],
            "name": jobfile.name,
            "spec": _spec(jobfile),
            "code": _upload(client, found["id"], jobfile),
            "by": who(),
        }
        client.post("/v1/jobs", body)
    output.note(f"{jobfile.name} is submitted: `outlast status {jobfile.name}`")
    job = {"id": found["id"], "name": jobfile.name}
    if manner.watch:
        return _stay(job, manner)
    if manner.as_json:
        output.result({**job, "plan": {"first": found["first"], "why": found["why"]}})
    elif not manner.watch:
        output.say(job["id"])
    return Exit.SUCCESS


def _stay(job: dict[str, Any], manner: Manner) -> Exit:
    try:
        code, last = follow.watch(job["id"], quiet=manner.as_json)
    except KeyboardInterrupt:
        name = job["name"]
        output.note(
            f"\ndetached: {name} goes on. Come back with `outlast status {name}`, "
            f"`outlast events {name} -f` or `outlast logs {name} -f`"
        )
        if manner.as_json:
            output.result({**job, "detached": True})
        return Exit.LEFT
    if manner.as_json:
        output.result(last)
    else:
        output.say(f"{last['name']}: {last['state']}: {last['why']}")
    return code
