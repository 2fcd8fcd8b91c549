"""The health gate: may this checkpoint become the one that the job resumes from?"""

from __future__ import annotations

import enum
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Any

from outlast.save.gate_numbers import look, pattern
from outlast.save.sources import FileSource
from outlast.save.structure import NotWhole, trouble_of
from outlast.save.types import StableCopy, StableFile

LIMIT_BYTES = 1 << 30  # of floating-point values a file; above it, samples
TORCH_LIMIT_S = 120.0
NAMES_MAX = 50
EVERYTHING = "*"
BAD_MARK = "not finite: "  # last in the text, and read back from the manifest before
TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")


class Verdict(str, enum.Enum):
    OK = "ok"
    WARN = "warn"
    QUARANTINE = "quarantine"


@dataclass(frozen=True)
class GateResult:
    """`text` goes into the manifest, and is what people read."""

    verdict: Verdict
    text: str


@dataclass
class _Seen:
    tensors: int = 0
    sampled: bool = False
    bad: set[str] = field(default_factory=set)
    unexamined: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Gate:
    """`python`: the trainer's interpreter, for torch files; None: they are reported as unexamined."""

    python: str | None = None
    mode: str = "quarantine"  # or warn, off
    limit_bytes: int = LIMIT_BYTES

    def check(
        self, copy: StableCopy, before: str | None, health: Mapping[str, str] = MappingProxyType({})
    ) -> GateResult:
        """`before`: the gate text of the job's newest durable checkpoint; None: there is none yet.

        Masks and the like hold infinities from the first save on: only what is newly not finite counts.
        `health`: what to do with tensors of certain names, by pattern; the longest that fits decides.
        """
        if mode_of("", health, self.mode) == "off" and set(health) <= {EVERYTHING}:
            return GateResult(Verdict.OK, "")
        torn = self._torn(copy)
        if torn:
            return GateResult(Verdict.QUARANTINE, torn)
        seen = _Seen()
        for file in copy.files:
            if file.path.endswith(".safetensors"):
                self._add(seen, file, self._numbers(file))
        torch_files = [file for file in copy.files if file.path.endswith(TORCH_SUFFIXES)]
        for file, result in zip(torch_files, self._torch(torch_files), strict=True):
            self._add(seen, file, result)
        return self._judge(seen, before, health)

    def _torn(self, copy: StableCopy) -> str:
        for file in copy.files:
            try:
                why = trouble_of(file.path, file.source.size, file.source.read)
            except OSError as error:
                why = f"can't be read: {error}"
            if why:
                return f"{file.path}: {why}"
        return ""

    def _numbers(self, file: StableFile) -> dict[str, Any]:
        try:
            numbers = look(file.source.size, file.source.read, self.limit_bytes)
        except (NotWhole, OSError) as error:
            return {"unexamined": str(error)}
        return {
            "tensors": numbers.tensors, "sampled": numbers.sampled, "not_finite": numbers.not_finite
        }  # fmt: skip

    def _torch(self, files: list[StableFile]) -> list[dict[str, Any]]:
        """One result a file, whatever happens: a process that dies leaves the rest unexamined."""
        paths = [str(f.source.path) for f in files if isinstance(f.source, FileSource)]
        if not files:
            return []
        if self.python is None or len(paths) < len(files):
            return [{"unexamined": "no interpreter with torch is known"} for _ in files]
        script = Path(__file__).with_name("gate_torch.py").read_text()
        why = "the examining process ended early"
        try:
            # By `-c`, not by path: the script's own folder must not come before the standard library.
            done = subprocess.run(
                [self.python, "-c", script, str(self.limit_bytes), *paths],
                capture_output=True, text=True, timeout=TORCH_LIMIT_S, cwd="/", check=False,
            )  # fmt: skip
            output = done.stdout
            if done.returncode != 0 and done.stderr.strip():
                why = done.stderr.strip().splitlines()[-1][:120]
        except subprocess.TimeoutExpired:
            output, why = "", f"the examining process took more than {TORCH_LIMIT_S:g} s"
        except OSError as error:
            output, why = "", f"{self.python} can't be started: {error}"
        results = [value for value in map(_json_line, output.splitlines()) if value is not None]
        return [results[i] if i < len(results) else {"unexamined": why} for i in range(len(files))]

    def _add(self, seen: _Seen, file: StableFile, result: dict[str, Any]) -> None:
        if "unexamined" in result:
            seen.unexamined.append(f"{file.path} ({result['unexamined']})")
            return
        seen.tensors += int(result["tensors"])
        seen.sampled = seen.sampled or bool(result["sampled"])
        seen.bad.update(f"{pattern(file.path)}:{name}" for name in result["not_finite"])

    def _judge(self, seen: _Seen, before: str | None, health: Mapping[str, str]) -> GateResult:
        text = f"{seen.tensors} tensors, {'samples' if seen.sampled else 'every value'}"
        modes = {name: mode_of(name, health, self.mode) for name in seen.bad}
        seen.bad = {name for name in seen.bad if modes[name] != "off"}
        if seen.unexamined:
            text += "; unexamined: " + ", ".join(seen.unexamined)
        if not seen.bad:
            return GateResult(Verdict.OK, text)
        text += "; " + BAD_MARK + ", ".join(sorted(seen.bad)[:NAMES_MAX])
        new = seen.bad - not_finite_in(before or "")
        if not before or not new:
            return GateResult(Verdict.WARN, text)
        refused = any(modes[name] == "quarantine" for name in new)
        return GateResult(Verdict.QUARANTINE if refused else Verdict.WARN, text)


def mode_of(name: str, health: Mapping[str, str], default: str) -> str:
    """For `file:tensor`, by the longest pattern that fits the whole of it, or the tensor alone."""
    tensor = name.rpartition(":")[2]
    fits = [one for one in health if fnmatchcase(name, one) or fnmatchcase(tensor, one)]
    return health[max(fits, key=len)] if fits else default


def not_finite_in(text: str) -> set[str]:
    """The tensors that a manifest's gate text calls not finite."""
    _, mark, names = text.rpartition(BAD_MARK)
    return set(names.split(", ")) if mark else set()


def _json_line(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
