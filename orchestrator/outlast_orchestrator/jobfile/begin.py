"""Begins a job file for a script: reads it and what it imports of its folder, and writes what was found."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.jobfile.draft import Draft
from outlast_orchestrator.jobfile.frameworks import recognise
from outlast_orchestrator.jobfile.load import clean_name, load_job_file
from outlast_orchestrator.jobfile.script import Script

JOB_FILE = "job.yaml"
FILES_MAX = 200
SOURCE_BYTES_MAX = 4 << 20
GENERIC = frozenset({"train", "main", "run", "job", "finetune", "fine_tune", "pretrain", "script"})
_PLAIN = re.compile(r"[A-Za-z0-9_./{}][A-Za-z0-9_./{} -]*")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "~"})


@dataclass(frozen=True)
class Begun:
    file: Path
    draft: Draft


def begin(script: Path, *, force: bool = False) -> Begun:
    """Writes job.yaml beside the script. Raises UserError; nothing is executed, nothing left half-done."""
    file = script.parent / JOB_FILE
    if not script.is_file():
        what = "is a folder; name the script in it" if script.is_dir() else "there is no such file"
        raise UserError(f"{script}: {what}")
    if not script.name.isprintable():  # it becomes a part of a command, in a file in UTF-8
        raise UserError(f"{script}: the name holds what is no text; rename it")
    if file.exists() and not force:
        raise UserError(f"{file}: is there already; give -f to replace it")
    draft = recognise(read_scripts(script)) if script.suffix == ".py" else recognise(())
    text = render(script, draft)
    fresh = file.with_name(f".{JOB_FILE}.{os.getpid()}.yaml")
    try:
        fresh.write_text(text, "utf-8")
        load_job_file(fresh)  # what is written can be submitted, or it is not written
        os.replace(fresh, file)
    except OSError as error:
        raise UserError(f"{file}: can't be written: {error.strerror or error}") from error
    finally:
        fresh.unlink(missing_ok=True)
    return Begun(file, draft)


# reading


def read_scripts(script: Path) -> tuple[Script, ...]:
    """The script, then the modules of its folder that it imports, near ones first. Raises UserError."""
    root, scripts = script.parent, [_parse(script, script.name)]
    seen, waiting = {script.resolve()}, list(_own_modules(scripts[0], script, script.parent))
    while waiting and len(seen) < FILES_MAX:
        path = waiting.pop(0)
        if path.resolve() in seen:
            continue
        seen.add(path.resolve())
        try:
            found = _parse(path, path.relative_to(root).as_posix())
        except UserError:
            continue  # it would fail when it runs; the script itself can be read
        scripts.append(found)
        waiting += _own_modules(found, path, root)
    return tuple(scripts)


def _parse(path: Path, name: str) -> Script:
    try:
        body = path.read_bytes()
        if len(body) > SOURCE_BYTES_MAX:
            raise UserError(f"{path}: is larger than {SOURCE_BYTES_MAX >> 20} MiB; this is hardly a script")
        return Script(name, ast.parse(body))
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror or error}") from error
    except SyntaxError as error:
        raise UserError(f"{path}:{error.lineno or 1}: is no Python of this version: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is no Python: {error}") from error


def _own_modules(script: Script, path: Path, root: Path) -> Iterator[Path]:
    for module in script.modules:
        yield from _files(root, module.split("."))
    for node in ast.walk(script.tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = path.parent
            for _ in range(node.level - 1):
                base = base.parent
            if base == root or root in base.parents:
                parts = (node.module or "").split(".")
                yield from _files(base, parts)
                for alias in node.names:
                    yield from _files(base, [*parts, alias.name])


def _files(base: Path, parts: list[str]) -> Iterator[Path]:
    """The module, or the package that holds the name."""
    named = [part for part in parts if part]
    if not named:
        return
    path = base.joinpath(*named)
    for found in (path.with_suffix(".py"), path / "__init__.py"):
        if found.is_file():
            yield found


# writing


def render(script: Path, draft: Draft) -> str:
    """The job file's text: what was found as comments above what it led to."""
    lines = [f"# Written by `outlast init {script.name}`. Every key: configs/job.yaml of Outlast."]
    lines.append(f"# Recognised: {draft.framework}." if draft.framework else "# No framework was recognised.")
    lines += [f"#   {_comment(note)}" for note in draft.found]
    if draft.to_do:
        lines.append("# To do:")
        lines += [f"#   - {_comment(note)}" for note in draft.to_do]
    lines += [f"name: {_scalar(_name(script))}", f"run: {_scalar(_command(script, draft))}"]
    if (script.parent / "requirements.txt").is_file():
        lines.append("install: pip install -r requirements.txt")
    if draft.outputs:
        lines += ["outputs:", *(f"  - {_scalar(folder)}" for folder in draft.outputs)]
    lines += ["checkpoint:", f"  dir: {_scalar(draft.dir)}"]
    if draft.resume_args:
        lines.append(f"  resume_args: {_scalar(draft.resume_args)}")
    if draft.signal:
        lines.append(f"  signal: {draft.signal}")
    return "\n".join(lines) + "\n"


def _command(script: Path, draft: Draft) -> str:
    program = "python" if script.suffix == ".py" else "bash" if script.suffix == ".sh" else "./"
    own = program == "./" or script.name.startswith("-")  # a program takes that for an option
    name = shlex.quote(f"./{script.name}" if own else script.name)
    words = name if program == "./" else f"{program} {name}"
    return f"{words} {draft.arguments}" if draft.arguments else words


def _name(script: Path) -> str:
    stem = script.name.partition(".")[0]
    folder = script.resolve().parent.name
    return clean_name(folder if stem.lower() in GENERIC and folder else stem)


def _comment(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _scalar(text: str) -> str:
    """Plain where YAML takes it for a text; else in quotes, as JSON, which is YAML too."""
    plain = _PLAIN.fullmatch(text) and not text.endswith(" ") and not text.startswith(("{", ".", "-"))
    number = re.fullmatch(r"[0-9._eExXa-fA-F:+-]+", text)
    if plain and not number and text.lower() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)
