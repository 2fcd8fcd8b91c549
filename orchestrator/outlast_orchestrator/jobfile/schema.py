"""The keys of a job file and what each may hold; the sections a later version will bring are refused."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from outlast.protocol.durations import duration_s

NODES_MAX = 64
AUTO = "auto"  # of checkpoint.every
DURATIONS = ("every", "max_duration", "hold_on_failure")

# Keys that are promised and not here yet. Taking and ignoring one would be a lie.
NOT_YET: dict[str, str] = {
    "data": "let the run command read its data itself",
    "container": "say what the job needs in install and setup",
    "notify": "watch `outlast events`",
    "resources.machine_image": "the cloud's default image is used",
    "retry.stall_after": "watch `outlast status`: it shows the age of the last step",
    "policy.deadline": "use max_duration",
    "policy.budget_usd": "use resources.price_max_usd_h and max_duration",
}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_GPU = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?::(\d+))?")
_SIGNALS = ("USR1", "USR2", "TERM", "INT", "HUP")
_HEALTH = ("quarantine", "warn", "off")
_PLACEHOLDER = re.compile(r"\{(\w*)\}")


def check_name(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is no name; use up to 63 letters, digits, '.', '_' and '-', and no path")
    return name


def check_env_name(name: str) -> str:
    if _ENV_NAME.fullmatch(name) is None:
        raise ValueError(
            f"{name!r} can't be the name of an environment variable; use letters, digits and '_'"
        )
    if name.startswith("OUTLAST_"):
        raise ValueError(f"{name!r} is reserved: names that begin with OUTLAST_ are set by Outlast")
    return name


def _check_text(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty; write a shell command")
    return _check_characters(text)


def _check_characters(text: str) -> str:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("holds a character that no file or program can take; take it out")
    return text


def _check_duration(text: str) -> str:
    duration_s(text)
    return text


def _check_rhythm(text: str) -> str:
    return text if text == AUTO else _check_duration(text)


def _check_relative(path: str) -> str:
    parts = path.removesuffix("/").split("/")
    if not path.strip() or path.startswith(("/", "~")) or ".." in parts or "" in parts:
        raise ValueError(f"{path!r} must be a path inside the working folder, without '..'")
    return _check_characters(path)


def _check_folder(path: str) -> str:
    _check_relative(path)
    if path.strip("./") == "":
        raise ValueError("must be a folder of its own inside the working folder, e.g. checkpoints")
    return path


def _check_pattern(pattern: str) -> str:
    if not pattern.strip():
        raise ValueError("is empty; write a glob such as step_*.pt, or leave the key out")
    if pattern.startswith(("/", "~")) or ".." in pattern.split("/") or "" in pattern.split("/"):
        raise ValueError(f"{pattern!r} must be a glob inside checkpoint.dir, without '..'")
    if any("**" in part and part != "**" for part in pattern.split("/")):
        raise ValueError(f"{pattern!r}: ** stands for folders, between slashes only; write **/*.pt")
    opened, closed = pattern.count("["), pattern.count("]")
    if opened != closed:
        raise ValueError(f"{pattern!r} has a bracket without its partner; write [[] for a real one")
    return _check_characters(pattern)


def _check_gpu(text: str) -> str:
    match = _GPU.fullmatch(text)
    if match is None or match[2] in ("0", "00"):
        raise ValueError(f"{text!r} is no kind of GPU; write the kind and how many, e.g. H100:8")
    return f"{match[1]}:{int(match[2] or 1)}"


def _check_signal(text: str) -> str:
    name = text.upper().removeprefix("SIG")
    if name == "NONE":
        return "none"
    if name not in _SIGNALS:
        raise ValueError(f"{text!r} is no signal to save on; choose one of {', '.join(_SIGNALS)}, or none")
    return name


def _check_resume_args(text: str) -> str:
    for word in _PLACEHOLDER.findall(text):
        if word != "resume_from":
            raise ValueError(f"{{{word}}} is not known here; the checkpoint's folder is {{resume_from}}")
    return _check_characters(text)


def _check_health(value: Any) -> Any:
    """One word for all tensors, or words by pattern. YAML reads a bare `off` as false."""
    found = {"*": value} if isinstance(value, str) or value is False else value
    if not isinstance(found, dict):
        raise ValueError(f"is {value!r}; write quarantine, warn or off, or patterns with one of these each")
    found = {pattern: "off" if mode is False else mode for pattern, mode in found.items()}
    for pattern, mode in found.items():
        if mode not in _HEALTH:
            raise ValueError(f"{pattern}: {mode!r} is none of {', '.join(_HEALTH)}")
    return found


def _one_or_many(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Command = Annotated[StrictStr, AfterValidator(_check_text)]
Duration = Annotated[StrictStr, AfterValidator(_check_duration)]
Rhythm = Annotated[StrictStr, AfterValidator(_check_rhythm)]
Name = Annotated[StrictStr, AfterValidator(check_name)]
Words = Annotated[tuple[Name, ...], BeforeValidator(_one_or_many)]
Gpus = Annotated[tuple[Annotated[StrictStr, AfterValidator(_check_gpu)], ...], BeforeValidator(_one_or_many)]
Paths = Annotated[
    tuple[Annotated[StrictStr, AfterValidator(_check_relative)], ...], BeforeValidator(_one_or_many)
]
Patterns = Annotated[
    tuple[Annotated[StrictStr, AfterValidator(_check_pattern)], ...], BeforeValidator(_one_or_many)
]
EnvName = Annotated[StrictStr, AfterValidator(check_env_name)]
EnvNames = Annotated[tuple[EnvName, ...], BeforeValidator(_one_or_many)]
Value = Annotated[StrictStr, AfterValidator(_check_characters)]
Health = Annotated[dict[Value, StrictStr], BeforeValidator(_check_health)]
ExitCode = Annotated[StrictInt, Field(ge=1, le=255)]


class Section(BaseModel):
    """A mapping of the job file."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Resources(Section):
    gpus: Gpus = ()
    clouds: Words = ()
    regions: Words = ()
    market: Literal["spot", "on-demand", "spot-with-fallback"] = "spot"
    price_max_usd_h: Annotated[float, Field(gt=0, strict=True)] | None = None
    disk_gb: Annotated[StrictInt, Field(ge=1, le=65_536)] = 100


class Checkpoint(Section):
    dir: Annotated[StrictStr, AfterValidator(_check_folder)] = "checkpoints"
    pattern: Patterns = ()
    every: Rhythm | None = None
    keep: Annotated[StrictInt, Field(ge=1, le=1000)] = 3
    resume_args: Annotated[StrictStr, AfterValidator(_check_resume_args)] = ""
    health: Health = {}
    signal: Annotated[StrictStr, AfterValidator(_check_signal)] = "USR1"
    upload_mbps_max: Annotated[float, Field(gt=0, strict=True)] | None = None
    parts: Literal["every-node", "first-node"] | None = None


class ExitCodes(Section):
    fatal: tuple[ExitCode, ...] = ()
    retryable: tuple[ExitCode, ...] = ()

    @model_validator(mode="after")
    def _one_meaning(self) -> ExitCodes:
        both = sorted({*self.fatal} & {*self.retryable})
        if both:
            raise ValueError(f"{both[0]} is in fatal and in retryable; keep it in one of them")
        return self


class Retry(Section):
    max_failures: Annotated[StrictInt, Field(ge=0, le=1000)] = 3
    exit_codes: ExitCodes = ExitCodes()
    hold_on_failure: Duration | None = None


class PolicyChoice(Section):
    name: Literal["cheapest"] = "cheapest"


class Spec(Section):
    """A job as a person wrote it. `model_dump(mode="json")` and back gives the same."""

    run: Command
    name: Name | None = None
    workdir: Value | None = None
    setup: Value = ""
    install: Value = ""
    env: dict[EnvName, Value] = {}  # pydantic copies defaults
    secrets: EnvNames = ()
    outputs: Paths = ()
    labels: dict[Name, Value] = {}
    nodes: Annotated[StrictInt, Field(ge=1)] = 1
    max_duration: Duration | None = None
    resources: Resources = Resources()
    checkpoint: Checkpoint = Checkpoint()
    retry: Retry = Retry()
    policy: PolicyChoice = PolicyChoice()

    @field_validator("secrets")
    @classmethod
    def _one_source(cls, secrets: tuple[str, ...], checked: ValidationInfo) -> tuple[str, ...]:
        both = sorted({*secrets} & {*checked.data.get("env", {})})
        if both:
            raise ValueError(f"{both[0]} is in env and in secrets; keep it in one of them")
        return secrets


def _section(annotation: Any) -> type[Section] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def _keys(model: type[Section], prefix: str) -> list[str]:
    keys: list[str] = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        section = _section(field.annotation)
        if section is not None:
            keys += _keys(section, f"{prefix}{name}.")
    return keys


KEYS: tuple[str, ...] = tuple(_keys(Spec, ""))  # every key that is taken, with its section's in front
SECTIONS: frozenset[str] = frozenset(key.rpartition(".")[0] for key in KEYS)
