"""Before a trainer starts: moves what it must not resume from out of its sight, deleting nothing."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from outlast.save.found import Candidate, Complete, Kind, Look, QuietMemory
from outlast.save.generic import files_of
from outlast.save.kinds import MARKED, kind_named
from outlast.save.kinds.marked import text_of
from outlast.save.places import Claimed, begun, beside, candidates, hollow, stubs

LABELS_KEPT = 2  # so that a node that restarts its trainer for weeks does not fill its disk
CAME_ALONG = "came-along.json"


@dataclass(frozen=True)
class Keep:
    """The checkpoint that the trainer will resume from, as its manifest says."""

    step: int
    kind: str
    paths: frozenset[str]


def tidy_before_start(root: Path, keep: Keep | None, label: str, pattern: tuple[str, ...] = ()) -> list[str]:
    """Moves incomplete saves, and saves not older than `keep`, to `<root>.aside/<label>/` (`.outlast-aside`
    within it, where it is another disk's); one line each.

    A framework that resumes from the highest number would take a torn or an abandoned one; one that has a
    file that names the newest gets it rewritten. What was in the folder before the first trainer started
    here (base weights that came with the code) stays. Safe to repeat. Raises OSError.
    """
    aside = _aside(root)
    here = candidates(root, pattern)
    unknown = [] if pattern else stubs(root, here)  # what the pattern does not name is somebody's own
    came_along = _came_along(aside, root, here, unknown, keep)
    moves: dict[Path, str] = {}
    for kind, candidate in here:
        why = _unwanted(kind, candidate, keep)
        for path in candidate.paths if why else ():
            if path.relative_to(root).as_posix() not in came_along and not _kept(path, root, keep):
                moves[path] = why
    for path in hollow(root, here):
        if not _kept(path, root, keep):
            moves[path] = "it is empty: a save that was killed as it began"
    for path in unknown:
        if path.name not in came_along and not _kept(path, root, keep):
            moves[path] = "it holds nothing of a checkpoint: a save that was killed as it began"
    moves.update(dict.fromkeys(begun(root), "a write that was not finished"))
    lines = [_move(root, path, aside / label, why) for path, why in moves.items()]
    lines += _point(root, keep, aside / label)
    _drop_old_labels(aside)
    return lines


def set_aside(root: Path, path: Path, label: str, why: str) -> str:
    """Moves one checkpoint out of the trainer's sight; returns a line that says so. Raises OSError."""
    return _move(root, path, _aside(root) / label, why)


def _aside(root: Path) -> Path:
    return beside(root, root.with_name(root.name + ".aside"), "aside")


def _kept(path: Path, root: Path, keep: Keep | None) -> bool:
    """By its place alone: another version of the agent may have given its layout another name."""
    if keep is None:
        return False
    place = kind_named(keep.kind).place(keep.step, keep.kind)
    return path == root / place if place else path.relative_to(root).as_posix() in keep.paths


def _point(root: Path, keep: Keep | None, aside: Path) -> list[str]:
    """The files from which a framework learns which checkpoint is the newest name the one that is kept."""
    tracker = None if keep is None else kind_named(keep.kind).tracker(keep.step, keep.kind)
    lines = []
    if tracker is not None:
        path = root / tracker.path
        if text_of(path).encode() != tracker.body:
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f".{path.name}.new")
            fresh.write_bytes(tracker.body)
            os.replace(fresh, path)
            lines.append(f"{tracker.path} names {tracker.body.decode()} now")
    for kind in MARKED:
        other = kind.tracker(0, kind.name)
        path = root / (other.path if other is not None else "")
        if other is None or (tracker is not None and tracker.path == other.path) or not path.is_file():
            continue
        said = text_of(path)
        step = int(said) if said.isdigit() else 0
        if said and not (root / said).exists() and not (root / kind.place(step, kind.name)).exists():
            lines.append(_move(root, path, aside, f"it names {said}, which is not here any more"))
    return lines


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
    aside: Path, root: Path, here: Claimed, unknown: list[Path], keep: Keep | None
) -> frozenset[str]:
    """The names that lay in the folder before anything was trained on this node; noted the first time."""
    note = aside / CAME_ALONG
    try:
        return frozenset(str(name) for name in json.loads(note.read_bytes()))
    except FileNotFoundError:
        paths = [*(path for _, candidate in here for path in candidate.paths), *unknown]
        names = sorted(path.relative_to(root).as_posix() for path in paths if not _kept(path, root, keep))
    except ValueError:
        return frozenset()
    aside.mkdir(parents=True, exist_ok=True)
    fresh = note.with_suffix(".new")
    fresh.write_text(json.dumps(names))
    os.replace(fresh, note)
    return frozenset(names)


def _move(root: Path, path: Path, to: Path, why: str) -> str:
    key = path.relative_to(root)
    target, number = to / key, 1
    target.parent.mkdir(parents=True, exist_ok=True)
    while target.exists() or target.is_symlink():
        target, number = to / key.with_name(f"{key.name}.{number}"), number + 1
    path.rename(target)
    return f"{key.as_posix()} moved to {target}: {why}"


def _drop_old_labels(aside: Path) -> None:
    if not aside.is_dir():
        return
    labels = sorted((p for p in aside.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime_ns)
    for label in labels[:-LABELS_KEPT]:
        shutil.rmtree(label, ignore_errors=True)
