"""A job file to be: what was found in a script, where, and what a person has to do yet. Pure.

What a line says is never guessed: a setting that can't be read is something that remains to be done.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from outlast_orchestrator.jobfile.script import CHECKPOINT_DIR, RESUME_FROM, Call, Script

DEFAULT_DIR = "checkpoints"
RESUME_FLAGS = (
    "resume_from_checkpoint", "resume_from", "resume", "ckpt_path", "checkpoint_path", "load_checkpoint",
)  # fmt: skip
FROM_ENVIRONMENT = f'os.environ.get("{RESUME_FROM}")'


@dataclass
class Draft:
    """Notes (`found`) and what remains (`to_do`) are one line each; "" leaves a key at its default."""

    framework: str = ""  # "": nothing was recognised
    dir: str = DEFAULT_DIR
    resume_args: str = ""
    signal: str = ""
    arguments: str = ""  # added to the command
    outputs: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    to_do: list[str] = field(default_factory=list)

    def take_dir(self, folder: str, where: str, what: str) -> None:
        """Takes a folder that a job file may name, or says why it can't."""
        folder = folder.rstrip("/").removeprefix("./")
        if folder in ("", "."):
            self.to_do.append(
                f"{where}: {what} is the working folder: give checkpoints a folder of their own"
            )
        elif not inside(folder):
            self.to_do.append(f"{where}: {what} is {folder!r}, which is not inside the working folder")
        else:
            self.dir = folder
            self.found.append(f"{where}: {what} is {folder!r}")

    def unread(self, where: str, what: str) -> None:
        self.to_do.append(f"{where}: {what} can't be read from the script: set checkpoint.dir to it")

    def take_place(self, script: Script, node: ast.expr | None, where: str, what: str) -> None:
        """A folder, from an expression. An option of the script without a default is given in `run`."""
        place = script.place(node)
        if place is not None and place.env:
            self.found.append(f"{where}: {what} comes from {CHECKPOINT_DIR}")
        elif place is not None and place.flag and not place.text:
            self.arguments = f"{place.flag} {self.dir}"
            self.found.append(f"{where}: {what} is the option {place.flag}, given in run")
        elif place is None or not place.whole:
            self.unread(where, what)
        else:
            self.take_dir(place.text, where, f"{what}, by default of {place.flag}," if place.flag else what)

    def take_folder_of(self, script: Script, node: ast.expr | None, call: Call, what: str) -> None:
        """The folder in which a path lies, of which only the beginning need be known."""
        place = script.place(node)
        if place is not None and place.env:
            self.found.append(f"{at(call)}: {what} is in {CHECKPOINT_DIR}")
        elif place is not None and place.flag and not place.text:
            self.arguments = f"{place.flag} {self.dir}"
            self.found.append(f"{at(call)}: {what} is in the option {place.flag}, given in run")
        elif place is None or not (place.folder or place.whole):
            self.unread(at(call), what)
        else:
            self.take_dir(place.folder, at(call), f"the folder of {what}")


@dataclass
class Sources:
    """The script and what it imports of its own folder, the script first."""

    scripts: Sequence[Script]

    def importing(self, *names: str) -> str:
        """`file:line` of the first import of any of these packages, or ""."""
        return next((f"{s.file}:{line}" for s in self.scripts if (line := s.imports_any(*names))), "")

    def calls(self, *last: str) -> list[tuple[Script, Call]]:
        return [(s, call) for s in self.scripts for call in s.calls if call.last in last]

    def of(self, packages: tuple[str, ...], *ends: str) -> list[tuple[Script, Call]]:
        """Calls of what was imported from these packages, by the end of its name."""
        heads = tuple(f"{package}." for package in packages)
        return [
            (s, c)
            for s in self.scripts
            for c in s.calls
            if c.name.startswith(heads) and c.last.endswith(ends)
        ]

    def text(self, text: str) -> str:
        return next((f"{s.file}:{s.texts[text]}" for s in self.scripts if text in s.texts), "")

    def flag(self, *names: str) -> str:
        """The first of these options that the scripts have, and that takes a value; ""."""
        flags = (s.flags[name] for name in names for s in self.scripts if name in s.flags)
        return next((flag.flag for flag in flags if flag.takes_value), "")

    def resume(self, draft: Draft, advice: str) -> None:
        """How it goes on: by the environment, by an option of its own, or not yet."""
        if place := self.text(RESUME_FROM):
            draft.found.append(f"{place}: it goes on from {RESUME_FROM}")
        elif flag := self.flag(*RESUME_FLAGS):
            draft.resume_args = f"{flag} {{resume_from}}"
            draft.found.append(f"its option {flag} takes the checkpoint to go on from")
        else:
            draft.to_do.append(advice)


def at(call: Call) -> str:
    return f"{call.file}:{call.line}"


def inside(path: str) -> bool:
    """A path that a job file may name."""
    parts = path.split("/")
    return bool(path) and not path.startswith(("/", "~")) and ".." not in parts and "" not in parts


def in_a_loop(calls: list[tuple[Script, Call]]) -> tuple[Script, Call]:
    """The one that saves again and again; what is saved once is more likely the end's result."""
    return next(((s, c) for s, c in calls if c.in_loop), calls[0])
