"""Before a trainer starts: moves what it must not resume from out of its sight, deleting nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from outlast.save.found import Candidate, Complete, Kind, Look, QuietMemory
from outlast.save.generic import UNFINISHED_SUFFIXES, files_of
from outlast.save.kinds import kind_named
from outlast.save.marker import UNFINISHED_PREFIX
from outlast.save.watch import candidates

LABELS_KEPT = 2  # so that a node that restarts its trainer for weeks does not fill its disk
CAME_ALONG = "came-along.json"


@dataclass(frozen=True)
class Keep:
    """The checkpoint that the trainer will resume from, as its manifest says."""

    step: int
    kind: str
    paths: frozenset[str]


def tidy_before_start(root: Path, keep: Keep | None, label: str) -> list[str]:
    """Moves incomplete saves, and saves not older than `keep`, to `<root>.aside/<label>/`; one line each.

    A framework that resumes from the highest number would take a torn or an abandoned one. What was in
    the folder before the first trainer started here (base weights that came with the code) stays. Safe to
    repeat. Raises OSError.
    """
    aside = root.with_name(root.name + ".aside")
    here = candidates(root)
    came_along = _came_along(aside, root, here, keep)
    moves: list[tuple[Path, str]] = []
    for kind, candidate in here:
        why = _unwanted(kind, candidate, keep)
        paths = candidate.files or (candidate.at,)
        stay = {p for p in paths if p.name in came_along or _kept(p, root, candidate, keep)}
        moves += [(path, why) for path in paths if why and path not in stay]
    for entry in sorted(root.iterdir()) if root.is_dir() else ():
        if entry.name.startswith(UNFINISHED_PREFIX) or entry.name.endswith(UNFINISHED_SUFFIXES):
            moves.append((entry, "a write that was not finished"))
    lines = [_move(path, aside / label, why) for path, why in moves]
    _drop_old_labels(aside)
    return lines


def set_aside(root: Path, path: Path, label: str, why: str) -> str:
    """Moves one checkpoint out of the trainer's sight; returns a line that says so. Raises OSError."""
    return _move(path, root.with_name(root.name + ".aside") / label, why)


def _kept(path: Path, root: Path, candidate: Candidate, keep: Keep | None) -> bool:
    if keep is None or candidate.kind.split(":")[0] != keep.kind.split(":")[0]:
        return False
    folder = kind_named(keep.kind).folder_name(keep.step, keep.kind)
    return path == root / folder if folder else path.name in keep.paths


def _unwanted(kind: Kind, candidate: Candidate, keep: Keep | None) -> str:
    if keep is None:
        return "the job starts from the beginning"
    if candidate.step is not None and candidate.step >= keep.step:
        return f"step {candidate.step} is not older than step {keep.step}, which is resumed from"
    files = files_of(candidate)
    if files is None:
        return "it holds no files"
    look = Look(0.0, (), 0.0, QuietMemory(), exited_badly=True)
    verdict = kind.complete(candidate, files, look)
    return "" if isinstance(verdict, Complete) else verdict.why


def _came_along(
    aside: Path, root: Path, here: Iterable[tuple[Kind, Candidate]], keep: Keep | None
) -> frozenset[str]:
    """The names that lay in the folder before anything was trained on this node; noted the first time."""
    note = aside / CAME_ALONG
    try:
        return frozenset(str(name) for name in json.loads(note.read_bytes()))
    except FileNotFoundError:
        names = sorted(
            path.name
            for _, candidate in here
            for path in (candidate.files or (candidate.at,))
            if not _kept(path, root, candidate, keep)
        )
    except ValueError:
        return frozenset()
    aside.mkdir(parents=True, exist_ok=True)
    fresh = note.with_suffix(".new")
    fresh.write_text(json.dumps(names))
    os.replace(fresh, note)
    return frozenset(names)


def _move(path: Path, to: Path, why: str) -> str:
    to.mkdir(parents=True, exist_ok=True)
    target, number = to / path.name, 1
    while target.exists() or target.is_symlink():
        target, number = to / f"{path.name}.{number}", number + 1
    path.rename(target)
    return f"{path.name} moved to {target}: {why}"


def _drop_old_labels(aside: Path) -> None:
    if not aside.is_dir():
        return
    labels = sorted((p for p in aside.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime_ns)
    for label in labels[:-LABELS_KEPT]:
        shutil.rmtree(label, ignore_errors=True)
