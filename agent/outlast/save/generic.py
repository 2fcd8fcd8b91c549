"""The generic rule: is a checkpoint without a marker of its own complete? And the looks that it needs."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from outlast.protocol.objects import Confidence
from outlast.save.found import Broken, Candidate, Complete, FoundFile, Look, NotYet, Verdict
from outlast.save.structure import trouble

FOLDER_DEPTH_MAX = 6
FILES_MAX = 100_000
OTHER_NAMES_QUIET_FACTOR = 12  # files that used to be there are missing: wait this many times longer
UNFINISHED_SUFFIXES = (".tmp", ".temp", ".part", ".partial", ".incomplete", ".swp")
UNFINISHED_NAMES = frozenset({"checkpoint-is-incomplete.txt", ".metadata.tmp"})
WRITE_MODES = (os.O_WRONLY, os.O_RDWR)


def found_file(path: str, at: Path) -> FoundFile | None:
    """The file as it is now (behind a symbolic link, too); None: not a plain file. Raises OSError."""
    info = at.stat()
    if not stat.S_ISREG(info.st_mode):
        return None
    return FoundFile(
        path=path,
        at=at,
        size=info.st_size,
        mtime_ns=info.st_mtime_ns,
        ctime_ns=info.st_ctime_ns,
        inode=info.st_ino,
        device=info.st_dev,
        links=info.st_nlink,
    )


def files_of(candidate: Candidate) -> tuple[FoundFile, ...] | None:
    """All its files in order of path; None when it was deleted or changed shape under us."""
    try:
        if candidate.files:
            found = [found_file(p.relative_to(candidate.at).as_posix(), p) for p in candidate.files]
        else:
            found = list(_walk(candidate.at, "", FOLDER_DEPTH_MAX))
    except OSError:
        return None
    files = sorted((f for f in found if f is not None), key=lambda f: f.path)
    return tuple(files) if files and len(files) <= FILES_MAX else None


def _walk(folder: Path, prefix: str, depth: int) -> Iterable[FoundFile | None]:
    with os.scandir(folder) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        path = prefix + entry.name
        if not entry.is_dir(follow_symlinks=True):
            yield found_file(path, Path(entry.path))
        elif depth > 1 and not entry.is_symlink():  # a linked folder may lead in a circle
            yield from _walk(Path(entry.path), path + "/", depth - 1)


def unfinished(files: Iterable[FoundFile]) -> str:
    """A file that says that somebody is still writing, or ""."""
    for file in files:
        name = file.path.rsplit("/", 1)[-1]
        if name.endswith(UNFINISHED_SUFFIXES) or name in UNFINISHED_NAMES:
            return file.path
    return ""


def torn(files: Iterable[FoundFile]) -> str:
    """The first file that is not whole by its own format, and why; or "". Raises OSError."""
    for file in files:
        why = trouble(file.at, file.size)
        if why:
            return f"{file.path}: {why}"
    return ""


def names_of(paths: Iterable[str], step: int | None) -> frozenset[str]:
    """The file names with the step's number put aside, to be compared with another checkpoint's."""

    def aside(match: re.Match[str]) -> str:
        return "#" if step is not None and int(match.group()) == step else match.group()

    return frozenset(re.sub(r"\d+", aside, path) for path in paths)


def open_for_writing(pids: Iterable[int], files: Iterable[FoundFile]) -> str:
    """A file that one of the processes may still write into (by descriptor or shared memory), or ""."""
    wanted = {(file.device, file.inode): file.path for file in files}
    for pid in pids:
        for descriptor in _listed(f"/proc/{pid}/fd"):
            try:
                info = os.stat(f"/proc/{pid}/fd/{descriptor}")
            except OSError:
                continue  # closed meanwhile
            path = wanted.get((info.st_dev, info.st_ino))
            if path is not None and _flags(pid, descriptor) & os.O_ACCMODE in WRITE_MODES:
                return path
        path = _mapped(pid, wanted)
        if path:
            return path
    return ""


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []  # the process is gone


def _flags(pid: int, descriptor: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text().splitlines()
    except OSError:
        return os.O_RDONLY  # closed meanwhile
    return next((int(line.split()[1], 8) for line in lines if line.startswith("flags:")), os.O_RDONLY)


def _mapped(pid: int, wanted: dict[tuple[int, int], str]) -> str:
    try:
        lines = Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        fields = line.split(None, 5)
        if len(fields) >= 5 and fields[1][1] == "w" and fields[1][3] == "s" and fields[4] != "0":
            major, minor = (int(part, 16) for part in fields[3].split(":"))
            path = wanted.get((os.makedev(major, minor), int(fields[4])))
            if path is not None:
                return path
    return ""


def settled(candidate: Candidate, files: tuple[FoundFile, ...], look: Look) -> NotYet | None:
    """Nobody writes into it any more: quiet over two looks, closed, no unfinished file."""
    open_file = unfinished(files)
    if open_file:
        return NotYet(f"{open_file} says that a write is under way")
    looks = tuple((file.path, file.stamp) for file in files)
    quiet_s = look.quiet.quiet_s(candidate.key, looks, look.now_s)
    if look.ended_well or look.exited_badly:
        return None  # its writers are dead
    if quiet_s < look.quiet_s:
        return NotYet(f"it changed less than {look.quiet_s:g} s ago")
    writing = open_for_writing(look.pids, files)
    return NotYet(f"{writing} is open for writing") if writing else None


def complete(candidate: Candidate, files: tuple[FoundFile, ...], look: Look) -> Verdict:
    """The generic rule. It never confirms anything new after an abnormal exit of the trainer."""
    if look.exited_badly:
        return Broken("the trainer ended badly, and nothing in the folder says that this save was finished")
    patience_s = look.quiet_s * OTHER_NAMES_QUIET_FACTOR
    if look.patient:
        look = replace(look, quiet_s=patience_s)
    waiting = settled(candidate, files, look)
    if waiting is not None:
        return waiting
    why = torn(files)
    if why:
        return Broken(why) if look.ended_well else NotYet(why)
    missing = (look.names or frozenset()) - names_of((f.path for f in files), candidate.step)
    if missing:
        absent = f"{sorted(missing)[0]} was in the checkpoint before, but is not in this one"
        looks = tuple((file.path, file.stamp) for file in files)
        if not look.ended_well and look.quiet.quiet_s(candidate.key, looks, look.now_s) < patience_s:
            return NotYet(absent)
        return Complete(Confidence.HEURISTIC, f"quiet and whole, though {absent}")
    return Complete(Confidence.HEURISTIC, "quiet, closed and whole")
