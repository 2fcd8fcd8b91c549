"""What `outlast connect` does: checks what jobs rest on, shows what to mend, remembers what is fit."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from outlast_orchestrator.cli import output, render
from outlast_orchestrator.cli.client import home, read_server_file
from outlast_orchestrator.cli.exits import Exit
from outlast_orchestrator.cli.remote import elsewhere
from outlast_orchestrator.core.errors import UserError


def storage(url: str, only_check: bool, as_json: bool) -> int:
    """Exits with REFUSED when a job could not run there, or not safely; then nothing is remembered."""
    if (there := elsewhere(home())) and not only_check:
        raise UserError(f"commands talk to {there}: run this where it runs, or add --only-check")
    check = importlib.import_module("outlast_orchestrator.storage.check")
    try:
        findings = check.check_storage(url, begins=lambda what: output.note(f"checking: {what}"))
    except ValueError as error:
        raise UserError(f"{error}") from error
    fit = bool(check.usable(findings))
    file = _remember(url) if fit and not only_check else None
    rows = [{"check": f.check, "verdict": f.verdict.value, "told": f.told, "mend": f.mend} for f in findings]
    if as_json:
        remembered = str(file) if file else None
        output.result({"storage": url, "usable": fit, "remembered": remembered, "checks": rows})
    else:
        _show(rows, fit, file)
    return Exit.SUCCESS if fit else Exit.REFUSED


def _remember(url: str) -> Path:
    settings = importlib.import_module("outlast_orchestrator.settings")
    file: Path = settings.remember_storage(settings.home_folder(), url)
    if os.environ.get("OUTLAST_STORAGE"):
        output.note("OUTLAST_STORAGE is set, and wins over what is remembered: unset it")
    if read_server_file(home()) is not None:
        output.note("a server runs; it goes by this from its next start on: `outlast server stop`")
    return file


def _show(rows: Sequence[Mapping[str, Any]], fit: bool, file: Path | None) -> None:
    render.console().print(render.storage_table(rows))
    mends: dict[str, list[str]] = {}
    for row in rows:
        if row["mend"]:
            mends.setdefault(row["mend"], []).append(row["check"])
    for mend, checks in mends.items():
        output.say(f"{', '.join(checks)}: {mend}")
    if not fit:
        output.say("jobs can't run safely there: mend what is marked bad, then try again")
    elif file is None:
        output.say("jobs can run there")
    else:
        output.say(f"jobs can run there; {file} says so from now on, for new jobs")
