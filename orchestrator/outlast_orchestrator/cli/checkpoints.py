"""What `outlast checkpoints` does: verify, pin, unpin, get."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from outlast_orchestrator.cli import fetch, output, render
from outlast_orchestrator.cli.client import Client, connect, job_path
from outlast_orchestrator.cli.exits import Exit, Refused
from outlast_orchestrator.cli.words import size
from outlast_orchestrator.core.errors import UserError

ANSWER_WAIT_S = 20.0  # one request; the agent looks for wishes about every half minute
ANSWER_WAITS_MAX = 6
BEFORE_MAX = 1000

Moved = Callable[[int], None]


def _which(step: str) -> str:
    return f"?which={quote(step, safe='')}" if step else ""


@contextmanager
def _bar(shown: bool) -> Iterator[Progress]:
    """On stderr, and only for a person who looks."""
    screen = render.console(stderr=True)
    off = not (shown and screen.is_terminal)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True, disable=off) as bar:
        yield bar


# verify


def verify(name: str, step: str, as_json: bool) -> Exit:
    """Exits with DAMAGED when one that was asked for does not verify."""
    verdicts: list[dict[str, Any]] = []
    resume: dict[str, Any] = {}
    with connect() as client, _bar(not as_json) as bar:
        task = bar.add_task(name, total=None)
        for line in _lines(client, job_path(name, "verification") + _which(step)):
            if "trouble" in line:
                raise Refused(line["trouble"])
            if "resume" in line:
                resume = line
            elif "problem" in line:
                verdicts.append(line)
                if not as_json:
                    bar.update(task, visible=False)
                    output.say(_verdict(line))
            else:
                done, whole = line["done_bytes"], line["bytes"]
                bar.update(task, description=line["name"], total=whole, completed=done, visible=True)
    damaged = [line for line in verdicts if line["problem"] and line["asked"]]
    if as_json:
        output.result({"checkpoints": verdicts, "resume": resume.get("resume"), "why": resume.get("why", "")})
    else:
        _say_resume(verdicts, resume)
    return Exit.DAMAGED if damaged else Exit.SUCCESS


def _lines(client: Client, path: str) -> Iterator[dict[str, Any]]:
    rest = b""
    for chunk in client.stream(path):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield json.loads(line)


def _verdict(line: Mapping[str, Any]) -> str:
    about = f"step {line['step']}  {line['name']}"
    if line["problem"]:
        return f"DAMAGED  {about}: {line['problem']}"
    return f"ok       {about}: {line['files']} files, {size(line['bytes'])}"


def _say_resume(verdicts: list[dict[str, Any]], resume: Mapping[str, Any]) -> None:
    if not any(line["problem"] for line in verdicts):
        return
    found = resume.get("resume")
    if found is not None:
        output.say(f"a resume would take step {found['step']} ({found['name']}): {resume['why']}")
    else:
        output.say(f"a resume would take none: {resume.get('why', '')}")


# pins


def pin(name: str, step: str, as_json: bool) -> None:
    with connect() as client:
        found = client.put(job_path(name, "pins") + _which(step), {})
        found = _await(client, name, found, as_json)
        told = _about(found)
        if found["pin"] == "gone":
            raise UserError(f"too late: {told} is no longer kept; `outlast checkpoints ls {name}`")
    if as_json:
        output.result(found)
    elif found["pin"] == "pinned":
        output.say(f"pinned: {told} stays")
    elif found["running"]:
        output.say(f"not pinned yet: the wish for {told} is noted, but nobody has answered it so far")
    else:
        output.say(f"noted: {told} stays, for nothing runs; it is pinned when {name} runs again")


def unpin(name: str, step: str, as_json: bool) -> None:
    with connect() as client:
        found = client.delete(job_path(name, "pins") + _which(step))
        found = _await(client, name, found, as_json)
    told = _about(found)
    if as_json:
        output.result(found)
    elif found["pin"] in ("", "gone"):
        output.say(f"unpinned: {told} goes when its turn comes")
    elif found["pin"] == "held":
        output.say(f"unpinned: {told} is still held until the restart from it has begun")
    elif found["running"]:
        output.say(f"not unpinned yet: the wish for {told} is noted, but nobody has answered it so far")
    else:
        output.say(f"noted: the pin of {told} ends when {name} runs again")


def _about(found: Mapping[str, Any]) -> str:
    return f"step {found['step']} ({found['name']})"


def _await(client: Client, name: str, found: dict[str, Any], as_json: bool) -> dict[str, Any]:
    """Until the pointer answers the wish: only then it holds. Nobody answers while nothing runs."""
    for waited in range(ANSWER_WAITS_MAX):
        if found["pin"] not in ("pin wished", "unpin wished") or not found["running"]:
            break
        if waited == 0 and not as_json:
            output.note("waiting for the job's agent to take it over (within a minute) …")
        found = client.get(job_path(name, "pins", quote(found["name"])), {"wait": ANSWER_WAIT_S})
    return found


# get


def get(name: str, folder: Path, step: str, *, force: bool, as_json: bool) -> None:
    """The whole checkpoint appears under `folder` in one rename, or nothing does."""
    target = Path(os.path.realpath(folder))
    with connect() as client, fetch.writing(folder):
        _refuse(target, folder, force)
        found = client.get(job_path(name, "checkpoint") + _which(step))
        part = target.with_name(f".{target.name}.part-{found['name']}")
        _make_room(part, found["bytes"])
        with _bar(not as_json) as bar:
            task = bar.add_task(f"step {found['step']}", total=found["bytes"])
            whole = _fetch_all(client, name, found, part, lambda count: bar.advance(task, count))
        _remove_others(part, whole)
        aside = _put_in_place(part, target)
    if as_json:
        aside_text = str(aside) if aside else None
        output.result({**found, "folder": str(target), "moved_aside": aside_text})
        return
    if aside is not None:
        output.note(f"what was in {folder} is in {aside}")
    files = f"{len(found['files'])} files, {size(found['bytes'])}"
    output.say(f"step {found['step']} ({found['name']}) is in {folder}: {files}, every byte verified")


def _refuse(target: Path, folder: Path, force: bool) -> None:
    here = Path.cwd()
    if target == here or target in here.parents:
        raise UserError(f"{folder} is the folder that you are in, or one around it: name one of its own")
    if target.exists() and not target.is_dir():
        raise UserError(f"{target} is a file: name a folder for the checkpoint")
    if target.is_dir() and not force and any(target.iterdir()):
        raise UserError(f"{target} holds something: name an empty folder, or -f to have it moved aside")


def _make_room(part: Path, needed: int) -> None:
    have = sum(path.stat().st_size for path in part.rglob("*") if path.is_file())
    room = next(path for path in (part, *part.parents) if path.exists())
    free = shutil.disk_usage(room).free
    missing = needed - have
    if missing > free:
        raise UserError(f"{part.parent} has {size(free)} free, and the checkpoint needs {size(missing)}")
    part.mkdir(parents=True, exist_ok=True)
    if part.is_symlink() or part.stat().st_uid != os.geteuid():  # in /tmp anybody can put one there
        raise UserError(f"{part} belongs to somebody else: name another folder, or remove it")


def _fetch_all(
    client: Client, name: str, found: Mapping[str, Any], part: Path, moved: Moved
) -> frozenset[Path]:
    """What an earlier try has brought is not fetched again. All of the checkpoint's files are returned."""
    whole = set[Path]()
    for item in found["files"]:
        at = fetch.place(item, part, "file")
        whole.add(at)
        if fetch.is_there(item, at):
            moved(item["size"])
            continue
        url = job_path(name, "checkpoints", found["name"], "files", quote(item["path"]))
        try:
            fetch.fetch(client, url, item, at, moved)
        except UserError as error:
            left = f"it left while it was fetched; `outlast checkpoints pin {name}` keeps one"
            raise UserError(f"{error} ({left})") from error
        except Refused as error:
            raise Refused(
                f"checkpoint {found['name']}: {error}. If it stays so: "
                f"`outlast checkpoints verify {name}`, and --step takes another one"
            ) from error
    return frozenset(whole)


def _remove_others(part: Path, whole: frozenset[Path]) -> None:
    """What a try that was broken off has left. Its name proves nothing: a checkpoint may use any."""
    for path in list(part.rglob("*")):
        if path not in whole and (path.is_symlink() or not path.is_dir()):
            path.unlink()


def _put_in_place(part: Path, target: Path) -> Path | None:
    """Where what was there before has gone, if anything was."""
    aside: Path | None = None
    if target.is_dir() and any(target.iterdir()):
        names = (target.with_name(f"{target.name}.before-{number}") for number in range(1, BEFORE_MAX))
        aside = next(path for path in names if not path.exists())
        target.rename(aside)
    part.rename(target)
    return aside
