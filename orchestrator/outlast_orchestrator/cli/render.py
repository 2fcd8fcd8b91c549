"""Tables and live lines for people; the only module that knows rich."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from outlast_orchestrator.cli.words import age, ago, one_line, price, size, usd

PIPE_WIDTH = 200  # a file or a pipe has no width: cut nothing
COLOURS = {
    "RUNNING": "green",
    "SUCCEEDED": "bold green",
    "FAILED": "bold red",
    "CANCELLED": "dim",
    "PAUSED": "yellow",
    "UNREACHABLE": "magenta",
    "RECOVERING": "cyan",
}


def console(*, stderr: bool = False) -> Console:
    found = Console(stderr=stderr, highlight=False)
    return found if found.is_terminal else Console(stderr=stderr, highlight=False, width=PIPE_WIDTH)


def state_text(state: str) -> str:
    colour = COLOURS.get(state)
    return f"[{colour}]{state}[/]" if colour else state


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """The last column may be long and wraps; the others stay whole."""
    made = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        last = number == len(columns) - 1
        made.add_column(column, no_wrap=not last, overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def jobs_table(jobs: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [
            escape(job["name"]),
            state_text(job["state"]),
            age(job["age_s"]),
            _number(job["step"]),
            _durable(job["durable"]),
            str(job["generation"]),
            usd(job["cost"]["usd"]),
            escape(one_line(job["why"])),
        ]
        for job in jobs
    ]
    return table("", ["JOB", "STATE", "FOR", "STEP", "CHECKPOINT", "ATTEMPTS", "COST", "WHY"], rows)


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _durable(durable: Mapping[str, Any] | None) -> str:
    return "none yet" if durable is None else f"step {durable['step']}, {ago(durable['age_s'])}"


def status_view(job: Mapping[str, Any], show: Console) -> None:
    cost = job["cost"]
    wake = job.get("next_wake_s")
    facts = [
        ("job", f"{escape(job['name'])}  ({job['id']}, revision {job['revision']}, wanted: {job['wanted']})"),
        ("state", f"{state_text(job['state'])} for {age(job['age_s'])}"),
        ("why", escape(one_line(job["why"])) or "-"),
        ("step", _number(job["step"])),
        ("checkpoint", _durable(job["durable"])),
        ("saving", escape(one_line(saving_text(job.get("saving"))))),
        *(("fit", escape(one_line(text))) for text in job.get("fit", ())),
        ("cost", f"{usd(cost['usd'])} so far; on demand {usd(cost['on_demand_usd'])}"),
        ("submitted", ago(job["submitted_age_s"])),
        ("storage", escape(f"{job['storage']}/jobs/{job['id']}")),
    ]
    if wake is not None and not job["over"]:
        facts.append(("next look", f"in {age(wake)} at the latest"))
    for word, text in facts:
        show.print(f"{word:>11}  {text}", soft_wrap=True)
    show.print(attempts_table(job["attempts"]) if job["attempts"] else "no attempt yet")
    if job["instances"]:
        show.print(instances_table(job["instances"], gang=job.get("nodes", 1) > 1))


def saving_text(saving: Mapping[str, Any] | None) -> str:
    if saving is None:
        return "-"
    parts = []
    if saving.get("trouble"):
        parts.append(f"TROUBLE for {age(saving.get('trouble_age_s'))}: {saving['trouble']}")
    if saving.get("uploading_step") is not None:
        done, whole = size(saving["uploaded_bytes"]), size(saving["upload_bytes"])
        parts.append(f"uploading step {saving['uploading_step']} ({done} of {whole})")
    if saving.get("save_s") is not None:
        parts.append(f"a save takes {saving['save_s']:.1f} s")
    if saving.get("upload_s") is not None:
        parts.append(f"an upload {saving['upload_s']:.1f} s")
    if saving.get("every_s") is not None:
        parts.append(f"saved every {age(saving['every_s'])}: {one_line(saving['every_why'])}")
    if saving.get("refused"):
        parts.append(f"{saving['refused']} QUARANTINED in a row: {one_line(saving['refused_why'])}")
    if saving.get("skipped"):
        parts.append(f"{saving['skipped']} skipped for a newer one")
    return "; ".join(parts) or ("well" if saving.get("durable") else "nothing seen yet")


def attempts_table(attempts: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for attempt in attempts:
        closed = attempt["closed"]
        ended = f"{closed['why']} ({', '.join(closed['witnesses'])})" if closed else attempt["abandoned"]
        steps = f"{_number(attempt['start_step'])} → {_number(attempt['last_step'])}"
        why = f"{attempt['why']}. Over: {ended}" if ended else attempt["why"]
        begun, told = age(attempt["age_s"]), escape(one_line(why))
        rows.append([str(attempt["generation"]), attempt["phase"], begun, steps, told])
    return table("attempts", ["NO", "PHASE", "BEGUN", "STEPS", "WHY"], rows)


def instances_table(instances: Sequence[Mapping[str, Any]], *, gang: bool = False) -> Table:
    """`gang`: which node each machine is, of the attempt that its agent speaks of, is told too."""
    rows = [
        [
            escape(i["id"] or i["launch_id"]),
            i["phase"],
            age(i["age_s"]),
            escape(f"{i['cloud']}/{i['zone']}"),
            escape(f"{i['instance_type']} {i['market']}"),
            f"{price(i['price_usd_h'])} {usd(i['usd'])}",
            escape(one_line(_node(i, gang) + _machine_why(i))),
        ]
        for i in instances
    ]
    return table("instances", ["ID", "PHASE", "AGE", "ZONE", "TYPE", "COST", "AGENT"], rows)


def _node(instance: Mapping[str, Any], gang: bool) -> str:
    agent = instance["agent"]
    return f"node {agent['rank']}: " if gang and agent is not None and not instance["end_why"] else ""


def _machine_why(instance: Mapping[str, Any]) -> str:
    agent = instance["agent"]
    if instance["end_why"]:
        return str(instance["end_why"])
    if agent is None:
        return "not heard yet"
    heard = f"heard {ago(agent['silent_s'])}"
    return f"{agent['state']}, {heard}" + (f": {agent['why']}" if agent["why"] else "")


def plan_view(plan: Mapping[str, Any], show: Console, offers_max: int = 1000) -> None:
    first = plan["first"]
    if first is None:
        show.print(f"[yellow]No machine can be had for {escape(plan['name'])} now:[/] {escape(plan['why'])}")
    else:
        on_demand = price(first["on_demand_usd_h"])
        nodes = plan.get("nodes", 1)
        machines, each = (f"{nodes} × ", " each") if nodes > 1 else ("", "")
        show.print(
            f"{escape(plan['name'])} would run on {machines}[bold]{escape(first['instance_type'])}[/] in "
            f"{escape(first['zone'])} ({first['cloud']}, {first['market']}) for "
            f"[bold]{price(first['price_usd_h'])}[/]{each}; on demand {on_demand}",
            soft_wrap=True,
        )
    for text in plan.get("fit", ()):
        show.print(escape(one_line(text)), soft_wrap=True)
    rows = [
        [
            escape(o["cloud"]),
            escape(o["zone"]),
            escape(o["instance_type"]),
            f"{o['gpu']}:{o['gpu_count']}" if o["gpu_count"] else "-",
            o["market"],
            price(o["price_usd_h"]),
            price(o["on_demand_usd_h"]),
        ]
        for o in plan["offers"]
    ]
    if rows:
        rows, more = rows[:offers_max], len(rows) - offers_max
        show.print(table("", ["CLOUD", "ZONE", "TYPE", "GPU", "MARKET", "PRICE", "ON DEMAND"], rows))
        if more > 0:
            show.print(f"and {more} more: `outlast plan` shows all")


def checkpoints_table(checkpoints: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for c in checkpoints:
        marks = [word for word in ("head", "final", "pinned") if c.get(word)]
        told = c["problem"] or "; ".join(x for x in (", ".join(marks), c.get("gate") or "") if x)
        made = (c.get("at") or "-", size(c["bytes"]) if "bytes" in c else "-", c.get("kind") or "-")
        rows.append([str(c["step"]), *(escape(one_line(text)) for text in (c["name"], *made, told))])
    return table("", ["STEP", "NAME", "MADE", "SIZE", "KIND", "NOTES"], rows)


def orphans_table(orphans: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [
            escape(o["id"]),
            escape(f"{o['cloud']}/{o['region']}/{o['zone']}"),
            escape(f"{o['instance_type']} {o['market']}"),
            o["state"],
            price(o["price_usd_h"]),
            escape(o["job"] or "-"),
            escape(one_line(o["why"])),
        ]
        for o in orphans
    ]
    return table("", ["ID", "WHERE", "TYPE", "STATE", "PRICE", "JOB", "WHY"], rows)


VERDICTS = {"ok": "green", "warn": "yellow", "bad": "bold red", "not checked": "dim"}


def storage_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    made = [
        [row["check"], f"[{VERDICTS[row['verdict']]}]{row['verdict']}[/]", escape(one_line(row["told"]))]
        for row in rows
    ]
    return table("", ["CHECK", "RESULT", "FOUND"], made)


def doctor_table(clouds: Sequence[Mapping[str, Any]]) -> Table:
    made = []
    for one in clouds:
        problems = [escape(one_line(problem)) for problem in one["problems"]]
        result = "[red]bad[/]" if problems else "[green]ok[/]"
        made.append([one["cloud"], result, "\n".join(problems) or escape(one_line(one["way"]))])
    return table("", ["CLOUD", "RESULT", "FOUND"], made)


def event_line(event: Mapping[str, Any]) -> str:
    at = datetime.fromtimestamp(event["at"], tz=timezone.utc).astimezone()
    attempt = f" [attempt {event['attempt']}]" if event.get("attempt") is not None else ""
    return f"{at:%Y-%m-%d %H:%M:%S}  {event['kind']}{attempt}: {one_line(event['why'])}"


def live_line(job: Mapping[str, Any]) -> str:
    parts = [
        f"{state_text(job['state'])} for {age(job['age_s'])}",
        f"step {_number(job['step'])}",
        f"checkpoint {_durable(job['durable'])}",
        f"attempt {job['generation']}",
        usd(job["cost"]["usd"]),
    ]
    return f"[bold]{escape(job['name'])}[/]  " + " · ".join(parts)
