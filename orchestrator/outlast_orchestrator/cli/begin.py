"""Says what `outlast init` found in a script, and what remains to be done."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from outlast_orchestrator.cli import output
from outlast_orchestrator.cli.words import one_line
from outlast_orchestrator.jobfile.begin import begin


def init(script: Path, force: bool, as_json: bool) -> None:
    begun = begin(script, force=force)
    draft = begun.draft
    if as_json:
        output.result(
            {
                "file": str(begun.file),
                "framework": draft.framework,
                "checkpoint_dir": draft.dir,
                "found": draft.found,
                "to_do": draft.to_do,
            }
        )
        return
    for note in draft.found:
        output.note(f"  {one_line(note)}")
    for note in draft.to_do:
        output.note(f"  to do: {one_line(note)}")
    output.say(f"{begun.file}: {draft.framework or 'no framework was recognised'}")
    file = quote(str(begun.file))
    output.note(f"next: `outlast plan {file}`, `outlast submit {file}`")
