"""Where checkpoints may lie in the trainer's folder: what each kind claims of it, strongest first."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path

from outlast.save.found import Candidate, Kind
from outlast.save.generic import UNFINISHED_SUFFIXES
from outlast.save.kinds import ALL, MARKED, MATCHED
from outlast.save.marker import UNFINISHED_PREFIX
from outlast.save.naming import number_of, numbered

NESTED_DEPTH = 3  # `lightning_logs/version_0/checkpoints/`
FOLDERS_MAX = 2000  # looked into in one look; a folder with more is somebody's data
MATCHES_MAX = 10_000

OURS = ".outlast-"  # how our own folders within the trainer's begin

Claimed = list[tuple[Kind, Candidate]]


def beside(root: Path, outside: Path, name: str) -> Path:
    """`outside`; a hidden folder within `root` where that lies on another disk (it is a link, or mounted):
    nothing can be renamed from one to the other. Raises OSError."""
    if not root.exists() or root.stat().st_dev == outside.parent.stat().st_dev:
        return outside
    return root / f"{OURS}{name}"


def candidates(root: Path, pattern: tuple[str, ...] = ()) -> Claimed:
    """What in `root` may be a checkpoint, each claimed by the strongest kind that knows it.

    With a pattern only what matches it. Without one, folders that nobody claims are looked into as well,
    for checkpoints with a marker: a trainer may make a folder for each run.
    """
    if pattern:
        found, _ = _claimed(root, _matching(root, pattern), (*ALL, *MATCHED))
        return found
    found, left = _claimed(root, _listed(root), ALL)
    looked = 0
    for _ in range(NESTED_DEPTH):
        folders = [entry for entry in left if entry.is_dir() and not entry.is_symlink()]
        looked += len(folders)
        if not folders or looked > FOLDERS_MAX:
            break
        inside = [entry for folder in folders for entry in _listed(folder)]
        more, left = _claimed(root, _real(root, inside), MARKED)
        found += more
    return found


def hollow(root: Path, claimed: Claimed) -> list[Path]:
    """Folders with a checkpoint's number and not one file in them: a save that was killed as it began.

    A framework that takes the highest number would take such a folder.
    """
    return [entry for entry in _unclaimed(root, claimed) if numbered(entry.name) and not _any_file(entry)]


def stubs(root: Path, claimed: Claimed) -> list[Path]:
    """The same with files in them, but none of a checkpoint: PEFT, say, writes its model card first."""
    return [
        entry for entry in _unclaimed(root, claimed) if _named_by_a_framework(entry.name) and _any_file(entry)
    ]


def _unclaimed(root: Path, claimed: Claimed) -> list[Path]:
    taken = {path for _, candidate in claimed for path in candidate.paths}
    return [entry for entry in _listed(root) if entry not in taken and entry.is_dir()]


def _named_by_a_framework(name: str) -> bool:
    number = number_of(name)
    return number is not None and any(name == kind.place(number, kind.name) for kind in MARKED)


def begun(root: Path) -> list[Path]:
    """Temporary files and folders of writes that were not finished, beside checkpoints."""
    return [entry for entry in _listed(root, hidden=True) if _unfinished(entry.name)]


def _unfinished(name: str) -> bool:
    return name.startswith(UNFINISHED_PREFIX) or name.endswith(UNFINISHED_SUFFIXES)


def _claimed(root: Path, entries: Iterable[Path], kinds: tuple[Kind, ...]) -> tuple[Claimed, list[Path]]:
    left = _real(root, entries)
    found: Claimed = []
    for kind in kinds:
        mine = kind.candidates(root, tuple(left))
        found += [(kind, candidate) for candidate in mine]
        taken = {path for candidate in mine for path in candidate.paths}
        left = [entry for entry in left if entry not in taken]
    return found, left


def _listed(folder: Path, *, hidden: bool = False) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(e.path) for e in entries if hidden or not e.name.startswith("."))
    except OSError:
        return []


def _matching(root: Path, pattern: tuple[str, ...]) -> list[Path]:
    """Without what lies in a matching folder: that is its part."""
    found: set[Path] = set()
    with suppress(OSError):  # something was deleted under the look: the next one is soon
        found.update(islice((path for one in pattern for path in root.glob(one)), MATCHES_MAX))
    found = {path for path in found if path != root and not _ours(root, path)}
    return sorted(path for path in found if not found.intersection(path.parents))


def _ours(root: Path, path: Path) -> bool:
    return path.relative_to(root).parts[0].startswith(OURS)


def _real(root: Path, entries: Iterable[Path]) -> list[Path]:
    return [entry for entry in entries if not _alias(root, entry)]


def _alias(root: Path, entry: Path) -> bool:
    """A link such as `latest` to another entry: that one is looked at itself. Dangling ones go too."""
    if not entry.is_symlink():
        return False
    target, top = os.path.realpath(entry), os.path.realpath(root)
    return not os.path.exists(target) or os.path.commonpath((target, top)) == top


def _any_file(folder: Path) -> bool:
    return any(files for _, _, files in os.walk(folder))
