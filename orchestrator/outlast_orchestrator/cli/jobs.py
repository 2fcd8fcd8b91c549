"""What the commands on submitted jobs do: look, tell, and wish."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from outlast_orchestrator.cli import fetch, follow, output, render, story
from outlast_orchestrator.cli.client import Client, connect, job_path, who
from outlast_orchestrator.cli.exits import Exit
from outlast_orchestrator.cli.words import size
from outlast_orchestrator.core.errors import UserError

STORY_EVENTS = 400


def ps(as_json: bool) -> None:
    with connect() as client:
        found = client.get("/v1/jobs")
    if as_json:
        output.result(found)
    elif found["jobs"]:
        render.console().print(render.jobs_table(found["jobs"]))
    else:
        output.say("no job yet: `outlast submit job.yaml`, or `outlast run -- python train.py`")


def status(name: str, as_json: bool) -> None:
    with connect() as client:
        job = client.get(job_path(name))
    if as_json:
        output.result(job)
    else:
        render.status_view(job, render.console())


def why(name: str, as_json: bool) -> None:
    with connect() as client:
        job = client.get(job_path(name))
        events = client.get(job_path(job["id"], "events"), {"last": STORY_EVENTS})["events"]
    if as_json:
        told = {key: job[key] for key in ("id", "name", "state", "why", "age_s", "next_wake_s")}
        output.result({**told, "story": [text.strip() for text in story.story(events)]})
        return
    for text in story.why_lines(job, events):
        output.say(text)


def events(name: str | None, last: int, follow_on: bool, as_json: bool) -> None:
    if as_json and not follow_on:
        gathered: list[dict[str, Any]] = []
        follow.events(name, last, False, gathered.append)
        output.result({"events": gathered})
        return
    follow.events(name, last, follow_on, output.result if as_json else _print_event)


def _print_event(event: Mapping[str, Any]) -> None:
    output.say(render.event_line(event))


def wish(name: str, what: str, as_json: bool) -> None:
    with connect() as client:
        if what == "pause" and not as_json:
            tell_unsaved(client, name)
        _answer(client.post(job_path(name, what), {"by": who()}), as_json)


def tell_unsaved(client: Client, name: str, *, asked: bool = True) -> None:
    """Before what runs is stopped. `asked`: for a final save."""
    job = client.get(job_path(name))
    if job["step"] is not None and job["durable"] is None and not job["over"]:
        unless = "unless it saves when it is asked, " if asked else ""
        output.note(f"{job['name']} has no checkpoint yet: {unless}it begins anew")


def restart(name: str, now: bool, step: str, as_json: bool) -> None:
    with connect() as client:
        body = {"by": who(), "now": now, "start_from": step}
        if not (step or as_json):
            tell_unsaved(client, name, asked=not now)
        _answer(client.put(job_path(name, "restart"), body), as_json)


def _answer(answer: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        output.result(answer)
    else:
        output.say(answer["answer"])


def doctor(as_json: bool) -> int:
    """Exits with REFUSED when a cloud can't be used."""
    with connect() as client:
        found = client.get("/v1/doctor")
    bad = any(one["problems"] for one in found["clouds"])
    if as_json:
        output.result(found)
    elif found["clouds"]:
        render.console().print(render.doctor_table(found["clouds"]))
        output.say(f"the storage {found['storage']} is checked by `outlast connect storage URL --only-check`")
    else:
        output.say("no cloud is configured: name one under `providers:` in controller.yaml")
    return Exit.REFUSED if bad or not found["clouds"] else Exit.SUCCESS


def checkpoints(name: str, as_json: bool) -> None:
    with connect() as client:
        found = client.get(job_path(name, "checkpoints"))
    if as_json:
        output.result(found)
    elif found["checkpoints"]:
        render.console().print(render.checkpoints_table(found["checkpoints"]))
    else:
        output.say(f"{name} has no checkpoint yet")


def outputs(name: str, folder: Path, as_json: bool) -> None:
    """Fetches every output; each appears under its name only when it is whole."""
    with connect() as client, fetch.writing(folder):
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file: name a folder for the outputs")
        answer = client.get(job_path(name, "outputs"))
        listed = answer["outputs"]
        for item in listed:
            url = job_path(name, "outputs", quote(item["path"]))
            fetch.fetch(client, url, item, fetch.place(item, folder, "output"))
    if as_json:
        output.result({"folder": str(folder), **answer})
    elif listed:
        so_far = "" if answer["complete"] else f" (so far: {name} has not ended)"
        output.say(f"{len(listed)} files, {size(sum(i['size'] for i in listed))}, are in {folder}{so_far}")
    else:
        output.say(f"{name} has left no outputs yet: name them under `outputs:` in its job file")
