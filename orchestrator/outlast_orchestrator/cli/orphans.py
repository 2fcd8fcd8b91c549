"""What `outlast admin orphans` does: shows machines that belong to no job, and ends them when told to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from outlast_orchestrator.cli import output, render
from outlast_orchestrator.cli.asking import agreed
from outlast_orchestrator.cli.client import connect, who
from outlast_orchestrator.cli.exits import Exit

NONE = "no orphans: every machine with our tag belongs to a job"


def orphans(*, terminate: bool, yes: bool, as_json: bool) -> Exit:
    """Exits with REFUSED when a region could not be listed, or a machine not be ended."""
    with connect() as client:
        found = client.get("/v1/orphans")
        if not as_json:
            _show(found)
        answer: dict[str, Any] = {**found, "ended": []}
        if terminate and found["orphans"]:
            if not (yes or _agreed(found["orphans"])):
                return Exit.LEFT
            ids = [one["id"] for one in found["orphans"]]
            answer["ended"] = client.post("/v1/orphans/terminate", {"ids": ids, "by": who()})["ended"]
    if as_json:
        output.result(answer)
    else:
        _tell(answer["ended"])
    bad = found["unlisted"] or any(one["refused"] for one in answer["ended"])
    return Exit.REFUSED if bad else Exit.SUCCESS


def _show(found: Mapping[str, Any]) -> None:
    for problem in found["unlisted"]:
        output.note(f"not listed, so nothing is known there: {problem}")
    if found["orphans"]:
        render.console().print(render.orphans_table(found["orphans"]))
    elif found["unlisted"]:
        output.say("no orphans where it could be looked")
    else:
        output.say(NONE)


def _agreed(orphans: Sequence[Mapping[str, Any]]) -> bool:
    what = "this machine" if len(orphans) == 1 else f"these {len(orphans)} machines"
    question = f"End {what}? What is on their disks is lost"
    return agreed(question, default=False, left_undone="nothing was ended")


def _tell(ended: Sequence[Mapping[str, Any]]) -> None:
    for one in ended:
        if one["refused"]:
            output.note(f"{one['id']} is left: {one['refused']}")
        else:
            output.say(f"{one['id']}: its cloud is told to end it")
