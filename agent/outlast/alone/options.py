"""The command line of `agent run`: its words are those of the job file; what is wrong with it is one line."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from outlast.bucket.client import check_url
from outlast.config import ConfigError
from outlast.protocol.durations import duration_s
from outlast.protocol.limits import LEASE_S
from outlast.protocol.messages import CheckpointPlan
from outlast.save.gate import EVERYTHING

STORAGE_VARIABLE = "OUTLAST_STORAGE"
JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
LEASE_MIN_S = 30.0
PERSON_LIMIT_S = 120.0  # Ctrl-C: a person is there, and can press it again
SIGNALS = ("USR1", "USR2", "TERM", "INT", "HUP", "none")
QUARANTINE = "quarantine"
HEALTH_MODES = (QUARANTINE, "warn", "off")

TEXT = """\
Runs COMMAND here, and brings its checkpoints to the storage as it makes them: each is examined, hashed,
uploaded, and only then named as the one to go on from. Started again, here or on any other machine, it
goes on from there. There is no server, and nobody is asked; two runs of one job never both write.
"""
END = """\
exit status: COMMAND's own, once it has ended by itself; 0 if the job was done already; 130 or 143 after
Ctrl-C or SIGTERM, saved and released; 75: start it again (another run has taken over, or the storage was
away for the whole lease); 69: a person has to look; 2: bad input.
"""


AUTO = "auto"


@dataclass(frozen=True)
class Options:
    storage: str
    name: str
    command: str  # a shell command
    checkpoint: CheckpointPlan
    outputs: tuple[str, ...] = ()
    drain_limit_s: float | None = None
    lease_s: float = LEASE_S
    restart: bool = False
    keep_existing: bool = False


def parse(arguments: Sequence[str], environment: Mapping[str, str], prog: str) -> Options:
    """Raises ConfigError; leaves the process for --help and for what argparse does not know."""
    given = _parser(prog).parse_args(list(arguments))
    storage = given.storage or environment.get(STORAGE_VARIABLE, "")
    if not storage:
        raise ConfigError(
            f"where to? Give --storage, e.g. s3://bucket/prefix or file:///folder (or {STORAGE_VARIABLE})"
        )
    if not given.command:
        raise ConfigError("what to run? Give the command after `--`, e.g. -- python train.py")
    _check_storage(storage)
    return Options(
        storage=storage,
        name=_name(given.name, storage),
        command=given.command[0] if len(given.command) == 1 else shlex.join(given.command),
        checkpoint=CheckpointPlan(
            dir=_folder(given.dir),
            every_s=None if given.every == AUTO else _duration("--every", given.every),
            auto=given.every == AUTO,
            keep=_at_least(1, "--keep", given.keep),
            signal="" if given.signal == "none" else given.signal,
            health={} if given.health == QUARANTINE else {EVERYTHING: given.health},
            resume_args=_resume_args(given.resume_args),
            upload_mbps_max=_more_than_0("--upload-mbps-max", given.upload_mbps_max),
        ),
        outputs=tuple(_inside("--outputs", pattern) for pattern in given.outputs or ()),
        drain_limit_s=_duration("--drain-limit", given.drain_limit),
        lease_s=_lease(given.lease),
        restart=given.restart,
        keep_existing=given.keep_existing,
    )


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog, description=TEXT, epilog=END, usage=f"{prog} --storage URL [options] -- COMMAND...",
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    add = parser.add_argument
    add(
        "--storage",
        metavar="URL",
        default="",
        help=f"a folder, s3://bucket/prefix, gs://…, az://…; else {STORAGE_VARIABLE}",
    )
    add(
        "--name",
        default="",
        help="the job; the same name goes on with the same job. Default: the prefix's last part",
    )
    add("--dir", default="checkpoints", help="where COMMAND saves, inside this folder. Default: checkpoints")
    add(
        "--every",
        metavar="TIME",
        help="ask for a checkpoint this often, e.g. 10m, or auto. Default: whenever it makes one",
    )
    add("--keep", metavar="N", default="3", help="how many to keep in the storage. Default: 3")
    add("--resume-args", metavar="ARGS", default="", help="added to COMMAND when there is a checkpoint to go "
        "on from; {resume_from} is its folder")  # fmt: skip
    add("--signal", choices=SIGNALS, default="USR1", help="asks COMMAND to save. Default: USR1")
    add("--health", choices=HEALTH_MODES, default=QUARANTINE, help="what to do with a checkpoint in which a "
        "tensor has become NaN or Inf. Default: quarantine")  # fmt: skip
    add("--upload-mbps-max", metavar="N", help="megabits a second for uploads. Default: as fast as it goes")
    add(
        "--outputs",
        metavar="PATTERN",
        action="append",
        help="what it leaves; verified in the storage at its end",
    )
    add("--drain-limit", metavar="TIME", help="for the last save when told to leave. Default: 20s after "
        "SIGTERM, 2m after Ctrl-C")  # fmt: skip
    add("--lease", metavar="TIME", help="how long to train on while the storage takes no write; after longer "
        "without a sign of life another run takes over. Default: 10m")  # fmt: skip
    add("--restart", action="store_true", help="go on although the job ended with 0")
    add("--keep-existing", action="store_true", help="begin although the checkpoint folder holds checkpoints "
        "that the storage does not know")  # fmt: skip
    add("command", nargs="*", metavar="COMMAND", help="after `--`: a command of this folder")
    return parser


def _check_storage(storage: str) -> None:
    try:
        if "://" in storage:  # else a folder, as it is written in a shell
            check_url(storage)
    except ValueError as error:
        raise ConfigError(f"--storage: {error}") from error


def _name(given: str, storage: str) -> str:
    if given:
        if JOB_NAME.fullmatch(given) is None:
            raise ConfigError(f"--name {given}: use up to 63 letters, digits, '.', '_' and '-', and no path")
        return given
    name = unquote(urlsplit(storage).path).strip("/").rpartition("/")[2]
    if JOB_NAME.fullmatch(name) is None:
        raise ConfigError(f"which job? Give it a --name; {storage} has no prefix that could be one")
    return name


def _folder(text: str) -> str:
    folder = _inside("--dir", text)
    if folder.strip("./") == "":
        raise ConfigError("--dir: must be a folder of its own inside this one, e.g. checkpoints")
    return folder


def _inside(option: str, text: str) -> str:
    path = PurePosixPath(text)
    if not text.strip() or path.is_absolute() or ".." in path.parts or text.startswith("~"):
        raise ConfigError(f"{option} {text}: must be a path inside this folder, without '..'")
    return text


def _resume_args(text: str) -> str:
    for word in re.findall(r"\{(\w*)\}", text):
        if word != "resume_from":
            raise ConfigError(
                f"--resume-args: {{{word}}} is not known; the checkpoint's folder is {{resume_from}}"
            )
    return text


def _duration(option: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return duration_s(text)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from error


def _at_least(least: int, option: str, text: str) -> int:
    if not text.isdecimal() or int(text) < least:
        raise ConfigError(f"{option} {text}: give a whole number, {least} or more")
    return int(text)


def _more_than_0(option: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ConfigError(f"{option} {text}: give a number, more than 0")
    return number


def _lease(text: str | None) -> float:
    lease_s = _duration("--lease", text)
    if lease_s is not None and lease_s < LEASE_MIN_S:
        raise ConfigError(
            f"--lease {text}: must be {LEASE_MIN_S:.0f}s or more, or a slow moment costs the job"
        )
    return LEASE_S if lease_s is None else lease_s
