"""Loads a job file, or the same values from a command line, into a job that can be submitted."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outlast.protocol.durations import duration_s
from outlast.protocol.messages import CheckpointPlan, Work
from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.core.types import Job, Market, RetryPlan, Want
from outlast_orchestrator.jobfile.check import check
from outlast_orchestrator.jobfile.read_yaml import BYTES_MAX, Lines, read_yaml
from outlast_orchestrator.jobfile.schema import AUTO, Spec

NOTHING = "none"  # `workdir: none`: no working folder is sent

_AS_WRITTEN = frozenset({"env", "labels"})
_COMMIT = re.compile(r"[0-9a-fA-F]{7,64}")
_LOOKS_LIKE_GIT = re.compile(r"^[a-z+]+://|^git@|\.git(@[^/]*)?$")
_RUNNERS = re.compile(r"(.*/)?(python[0-9.]*|bash|sh|torchrun|accelerate|deepspeed)")
_BRINGS_FILES = re.compile(r"\b(git|hg|curl|wget|tar|unzip|cp|mv|ln|cat|tee|rsync|hf|aria2c)\b|>")
_MARKETS = {
    "spot": (Market.SPOT,),
    "on-demand": (Market.ON_DEMAND,),
    "spot-with-fallback": (Market.SPOT, Market.ON_DEMAND),
}


@dataclass(frozen=True)
class GitSource:
    """A working folder at a commit of a repository (an URL or a folder)."""

    repository: str
    commit: str


@dataclass(frozen=True)
class JobFile:
    """A checked job file. `script` is the file that `run` plainly names, relative to the working folder."""

    spec: Spec
    name: str
    folder: Path | None = None
    git: GitSource | None = None
    script: str | None = None


def load_job_file(path: Path, env_overrides: Mapping[str, str] | None = None) -> JobFile:
    """Reads and checks the file; `env_overrides` (-e K=V) win over its env. Raises UserError."""
    source = str(path)
    values, lines = read_yaml(_read_text(path), source, _AS_WRITTEN)
    return _build(values, lines, path.resolve().parent, _name_for(path), env_overrides or {})


def load_values(
    values: Mapping[str, Any], source: str, base: Path, env_overrides: Mapping[str, str] | None = None
) -> JobFile:
    """The same for values that came from elsewhere, e.g. `outlast run`. Folders are relative to `base`."""
    base = base.resolve()
    return _build(dict(values), Lines(source), base, clean_name(base.name), env_overrides or {})


def parse_spec(values: Any) -> Spec:
    """Checks a spec that came over the API. Raises UserError."""
    if not isinstance(values, Mapping):
        raise UserError("the job: expected a mapping of keys")
    return _check(values, Lines("the job"))


def to_job(
    spec: Spec,
    *,
    id: str,  # noqa: A002  # the field's name
    name: str,
    owner: str,
    created_at: float,
    storage: str,
    code: str = "",
    revision: int = 1,
) -> Job:
    """The job that a checked spec stands for. `code` is the key of the packed working folder."""
    resources = spec.resources
    return Job(
        id=id,
        name=spec.name or name,
        owner=owner,
        created_at=created_at,
        revision=revision,
        want=Want(
            gpus=resources.gpus,
            clouds=resources.clouds,
            regions=resources.regions,
            markets=_MARKETS[resources.market],
            price_max_usd_h=resources.price_max_usd_h,
            disk_gb=resources.disk_gb,
        ),
        work=_work(spec, spec.name or name, owner, code, revision),
        retry=RetryPlan(
            max_failures=spec.retry.max_failures,
            fatal_exit_codes=spec.retry.exit_codes.fatal,
            retryable_exit_codes=spec.retry.exit_codes.retryable,
        ),
        storage=storage,
        policy=spec.policy.name,
        max_duration_s=_seconds(spec.max_duration),
        nodes=spec.nodes,
        labels=dict(spec.labels),
    )


def _work(spec: Spec, name: str, owner: str, code: str, revision: int) -> Work:
    checkpoint = spec.checkpoint
    return Work(
        name=name,
        owner=owner,
        revision=revision,
        run=spec.run,
        setup=spec.setup,
        install=spec.install,
        code=code,
        env=dict(spec.env),
        secrets=spec.secrets,
        hold_s=_seconds(spec.retry.hold_on_failure) or 0.0,
        outputs=spec.outputs,
        checkpoint=CheckpointPlan(
            dir=checkpoint.dir,
            pattern=checkpoint.pattern,
            every_s=None if checkpoint.every == AUTO else _seconds(checkpoint.every),
            auto=checkpoint.every == AUTO,
            keep=checkpoint.keep,
            health=dict(checkpoint.health),
            signal="" if checkpoint.signal == "none" else checkpoint.signal,
            resume_args=checkpoint.resume_args,
            upload_mbps_max=checkpoint.upload_mbps_max,
            parts=checkpoint.parts or "",
        ),
    )


def _seconds(duration: str | None) -> float | None:
    return None if duration is None else duration_s(duration)


def _read_text(path: Path) -> str:
    try:
        if path.is_dir():
            raise UserError(f"{path}: is a folder; name the job file in it, e.g. {path / 'job.yaml'}")
        with path.open("rb") as file:
            body = file.read(BYTES_MAX + 1)
    except FileNotFoundError:
        raise UserError(
            f"{path}: there is no such file; make one, with at least `run: python train.py` in it"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror or error}") from error
    if len(body) > BYTES_MAX:
        raise UserError(f"{path}: is larger than {BYTES_MAX >> 10} KiB; this is hardly a job file")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not text in UTF-8; a job file is YAML, see configs/job.yaml") from None
    if "\0" in text:
        raise UserError(f"{path}: is a binary file; a job file is YAML, see configs/job.yaml")
    return text


def _check(values: Mapping[str, Any], lines: Lines) -> Spec:
    checked = check(values)
    if isinstance(checked, Spec):
        return checked
    first, *others = sorted(checked, key=lambda problem: lines.line(problem.path))
    more = f" (and {len(others)} more)" if others else ""
    raise lines.error(first.path, first.text + more)


def _build(
    values: dict[str, Any], lines: Lines, base: Path, name: str, env_overrides: Mapping[str, str]
) -> JobFile:
    env = values.get("env", {})
    if env_overrides and isinstance(env, dict):
        values = {**values, "env": {**env, **env_overrides}}
    spec = _check(values, lines)
    git = _git_source(spec, base, lines)
    folder = None if git or spec.workdir == NOTHING else _folder(spec, base, lines)
    script = _script(spec)
    if folder and script and not os.path.exists(folder / script):
        text = f"there is no file {script} in the working folder {folder}; mend run, or set workdir"
        raise lines.error(("run",), text)
    return JobFile(spec, spec.name or name, folder, git, None if spec.workdir == NOTHING else script)


def _folder(spec: Spec, base: Path, lines: Lines) -> Path:
    folder = _resolve(base, spec.workdir or ".")
    if not os.path.isdir(folder):
        what = "is a file, not a folder" if os.path.exists(folder) else "does not exist"
        raise lines.error(("workdir",), f"{folder} {what}; name a folder, or REPOSITORY@COMMIT")
    return folder


def _resolve(base: Path, typed: str) -> Path:
    """The folder that was meant. `os.path` here and above: pathlib raises where a name is too long."""
    return Path(os.path.realpath(base / os.path.expanduser(typed)))


def _git_source(spec: Spec, base: Path, lines: Lines) -> GitSource | None:
    workdir = spec.workdir
    if workdir is None or os.path.isdir(_resolve(base, workdir)):
        return None
    repository, at, commit = workdir.rpartition("@")
    if at and _COMMIT.fullmatch(commit) and repository and not repository.startswith("-"):
        local = _resolve(base, repository)
        return GitSource(str(local) if os.path.isdir(local) else repository, commit)
    if _LOOKS_LIKE_GIT.search(workdir):
        text = f"{workdir!r} names no commit; write REPOSITORY@COMMIT, in hex digits (a branch moves)"
        raise lines.error(("workdir",), text)
    return None


def _script(spec: Spec) -> str | None:
    """The script in a `run` such as `python train.py --lr 1`; None when that can't be told for sure."""
    before = f"{spec.setup}\n{spec.install}"
    if _BRINGS_FILES.search(before) or re.search(r"[|&;<>()$`\n*?]", spec.run.strip()):
        return None
    try:
        words = shlex.split(spec.run)
    except ValueError:
        return None
    while words and re.fullmatch(r"[A-Za-z_]\w*=.*", words[0]):
        words = words[1:]
    if not words:
        return None
    if words[0].startswith("./"):
        return words[0].removeprefix("./")
    if _RUNNERS.fullmatch(words[0]) is None:
        return None
    for word in words[1:]:
        if word in ("-m", "-c", "--module"):
            return None
        if word.endswith((".py", ".sh")) and not word.startswith(("-", "/", "~")):
            return word
    return None


def _name_for(path: Path) -> str:
    """A name for a job whose file gives none: the file's own, or its folder's for job.yaml."""
    stem = path.name.partition(".")[0]
    return clean_name(path.resolve().parent.name if stem in ("", "job", "outlast") else stem)


def clean_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:63] or "job"
