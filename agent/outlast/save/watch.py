"""Watches the trainer's checkpoint folder and tells each complete checkpoint once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from outlast.protocol.messages import CheckpointPlan
from outlast.save.found import Broken, Candidate, Complete, Found, FoundFile, Kind, Look, NotYet, QuietMemory
from outlast.save.generic import files_of, names_of
from outlast.save.kinds import kind_named
from outlast.save.places import Claimed, candidates

Stamps = dict[str, tuple[int, int, int]]  # by path
QUIET_S = 5.0
ODD_SIZE = (0.5, 2.0)  # times the last committed one: worth a word, never a refusal


def _chosen(here: Claimed) -> Claimed:
    by_kind: dict[Kind, list[Candidate]] = {}
    for kind, candidate in here:
        by_kind.setdefault(kind, []).append(candidate)
    return [(kind, candidate) for kind, found in by_kind.items() for candidate in kind.chosen(found)]


def written_ns(files: Iterable[FoundFile]) -> int:
    return max(file.mtime_ns for file in files)


class Watcher:
    """The eyes on one checkpoint folder, for one task. It holds no lock, and trusts no earlier look."""

    def __init__(self, plan: CheckpointPlan, root: Path, quiet_s: float = QUIET_S) -> None:
        self.plan = plan
        self.root = root
        self._quiet_s = quiet_s
        self._quiet = QuietMemory()
        self._told: dict[str, object] = {}  # key → identity of what was found, or was there before
        self._stamps: dict[str, Stamps] = {}  # key → what its files were when it was told
        self._names: dict[str, frozenset[str]] = {}  # kind → names of the last committed one
        self._bytes: int | None = None
        self._numbered = False
        self._marked = False  # a checkpoint with a marker was seen here
        self._last_step = 0
        self._newest: dict[str, Found] = {}  # kind → handed out since the trainer started
        self._broken: dict[str, str] = {}
        self._complaints: list[str] = []
        self.waiting: dict[str, str] = {}  # candidates that are not complete yet, and why

    def candidates(self) -> Claimed:
        return candidates(self.root, self.plan.pattern)

    def begin(self) -> None:
        """A trainer is about to start: what lies in the folder now is not new."""
        for kind, candidate in self.candidates():
            files = files_of(candidate)
            if files is not None:
                self._told[candidate.key] = kind.identity(candidate, files)

    def know(self, step: int, kind: str, paths: Iterable[str], size_bytes: int | None = None) -> None:
        """The last committed checkpoint: the next ones are held against its names and size, if told here."""
        if names := names_of(paths, step):
            self._names[kind.partition(":")[0]] = names
        self._marked = self._marked or kind_named(kind).strong
        self._bytes = size_bytes
        self._last_step = max(self._last_step, step)

    def committed(self, found: Found) -> None:
        self._names[found.kind.partition(":")[0]] = found.names
        self._bytes = found.bytes

    def forget(self, found: Found) -> None:
        """It could not be copied or uploaded: the next look may find it again."""
        self._told.pop(found.key, None)
        self._newest.pop(found.kind.partition(":")[0], None)

    def complaints(self) -> tuple[str, ...]:
        """What was seen and can't be used, one line each, told once."""
        lines, self._complaints = tuple(self._complaints), []
        return lines

    def scan(
        self,
        now_s: float,
        pids: Iterable[int],
        *,
        exited_badly: bool = False,
        ended_well: bool = False,
        step_hint: int | None = None,
    ) -> list[Found]:
        """New complete checkpoints, by step. `now_s` is monotonic; `pids` the trainer's whole tree.

        `ended_well`: the trainer exited with 0, so nobody writes and one look is enough. `step_hint`: the
        last step it told, for checkpoints whose name has no number.
        """
        look = Look(now_s, pids, self._quiet_s, self._quiet, exited_badly, ended_well)
        all_here = self.candidates()
        fresh = [(k, c, f) for k, c, f in self._with_files(_chosen(all_here)) if self._is_new(k, c, f)]
        self._numbered = self._numbered or any(c.step is not None for _, c, _ in fresh)
        self.waiting = {}
        found: list[Found] = []
        for kind, candidate, files in fresh:
            # Beside numbered saves, `best.pt` or a final model is not the place to resume from.
            if candidate.step is None and self._numbered:
                continue
            one = self._judge(kind, candidate, files, look, step_hint)
            if one is not None:
                found.append(one)
        keys = {candidate.key for _, candidate in all_here}
        self._quiet.forget_others(keys)
        self._told = {key: value for key, value in self._told.items() if key in keys}
        self._stamps = {key: value for key, value in self._stamps.items() if key in keys}
        found.sort(key=lambda one: (one.step, written_ns(one.files)))
        self._newest.update({one.kind.partition(":")[0]: one for one in found})
        return found

    def _with_files(self, here: Claimed) -> Iterable[tuple[Kind, Candidate, tuple[FoundFile, ...]]]:
        for kind, candidate in here:
            files = files_of(candidate)
            if files is not None:
                yield kind, candidate, files

    def _is_new(self, kind: Kind, candidate: Candidate, files: tuple[FoundFile, ...]) -> bool:
        """An older one that only now shows (a `last.ckpt` that hid it is torn) would be a step back."""
        newest = self._newest.get(kind.name)
        back = newest is not None and candidate.step is not None and candidate.step < newest.step
        if back and newest is not None and written_ns(files) <= written_ns(newest.files):
            return False
        return self._told.get(candidate.key) != kind.identity(candidate, files)

    def _judge(
        self,
        kind: Kind,
        candidate: Candidate,
        files: tuple[FoundFile, ...],
        look: Look,
        step_hint: int | None,
    ) -> Found | None:
        self._marked = self._marked or kind.strong
        look = replace(look, names=self._names.get(kind.name), patient=self._marked and not kind.strong)
        try:
            verdict = kind.complete(candidate, files, look)
        except FileNotFoundError:
            verdict = NotYet("it was deleted under us")
        except OSError as error:
            verdict = NotYet(f"it can't be read: {error}")
        if isinstance(verdict, Complete):
            self._told[candidate.key] = kind.identity(candidate, files)
            self._broken.pop(candidate.key, None)
            return self._found(kind, candidate, files, verdict, step_hint)
        self.waiting[candidate.key] = verdict.why
        if isinstance(verdict, Broken):
            self._complain(candidate.key, verdict.why, at_once=look.exited_badly or look.ended_well)
        return None

    def _complain(self, key: str, why: str, *, at_once: bool) -> None:
        """Told at the second look that sees the same: a folder that is being deleted looks broken once."""
        seen = self._broken.get(key)
        if seen == "told " + why:
            return
        if at_once or seen == why:
            self._complaints.append(f"{key}: {why}")
            why = "told " + why
        self._broken[key] = why

    def _found(
        self,
        kind: Kind,
        candidate: Candidate,
        files: tuple[FoundFile, ...],
        verdict: Complete,
        step_hint: int | None,
    ) -> Found:
        step = candidate.step
        if step is None:
            step = max(step_hint or 0, self._last_step + 1)
            self._last_step = step
        why = verdict.why
        size = sum(file.size for file in files)
        if self._bytes and not ODD_SIZE[0] <= size / self._bytes <= ODD_SIZE[1]:
            why += f"; its {size} bytes are {size / self._bytes:.2g} times those of the one before"
        names = names_of((file.path for file in files), candidate.step)
        if kind.may_link:
            files = tuple(replace(file, sealed=True) for file in files)
        return Found(
            step, candidate.kind, verdict.confidence, candidate.at, files, kind.may_link, why, names,
            candidate.key, self._once(kind, verdict.warning), candidate.step is not None,
            self._grown(candidate, files),
        )  # fmt: skip

    def _grown(self, candidate: Candidate, files: tuple[FoundFile, ...]) -> bool:
        before, now = self._stamps.get(candidate.key), {file.path: file.stamp for file in files}
        self._stamps[candidate.key] = now
        return before is not None and before.items() <= now.items()

    def _once(self, kind: Kind, warning: str) -> str:
        """Said of the first such save, not of every one."""
        if not warning or self._broken.get(kind.name) == warning:
            return ""
        self._broken[kind.name] = warning
        return warning

    def resume_path(self, step: int, kind: str) -> Path:
        """The folder that restore has to put the files of such a checkpoint into."""
        return self.root / kind_named(kind).place(step, kind)

    def resume_from(self, step: int, kind: str, paths: Sequence[str]) -> Path:
        """What the trainer is told to resume from: the folder; the file if it is a single plain one; the
        checkpoint folder itself, where a file of the framework's own says which one in it."""
        tracker = kind_named(kind).tracker(step, kind)
        if tracker is not None:
            return (self.root / tracker.path).parent
        folder = self.resume_path(step, kind)
        return folder / paths[0] if folder == self.root and len(paths) == 1 else folder
