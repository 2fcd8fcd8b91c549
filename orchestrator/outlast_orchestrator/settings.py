"""What a person may set about the server: `controller.yaml` in its home folder, and the environment."""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from outlast.protocol.limits import FENCED_OFF_S, LEASE_MARGIN_S, LEASE_S, OVER_OFF_S, SILENT_AFTER_S
from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.core.view import Limits
from outlast_orchestrator.options import nearest

FILE = "controller.yaml"
ENVIRONMENT = "OUTLAST_"  # OUTLAST_PORT=8443 and so on, for every key of one value
_ONE_VALUE = (
    "store",
    "storage",
    "storage_keys",
    "host",
    "port",
    "api_url",
    "cert_file",
    "key_file",
    "ca_file",
    "leader_ttl_s",
)

_IN_MEMORY = re.compile(r"sqlite(\+\w+)?:/*(:memory:)?")


def _check_store(url: str) -> str:
    if _IN_MEMORY.fullmatch(url):
        raise ValueError("would be in memory, and lost with the server; write sqlite:////absolute/file.db")
    return url


def _check_api_url(url: str) -> str:
    """Every node sends its token there."""
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc):
        raise ValueError("is no address; write it like https://host:port")
    if parts.scheme == "http" and not _loopback(parts.hostname or ""):
        raise ValueError("without TLS the nodes' tokens could be read on the way; write https://host:port")
    return url


def _check_keys(said: Any) -> Any:
    if said is None or said in ("job", "machine") or isinstance(said, dict):
        return said
    raise ValueError(f"is {said!r}; write job, machine, or the settings of the keys (docs/clouds.md)")


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


ON_THE_MACHINE = {"install_limit_s", "hung_after_s", "over_off_s", "fenced_off_s"}


class LimitSettings(BaseModel):
    """Times of the protocol and of clouds, in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lease_s: float = Field(default=LEASE_S, gt=0)
    lease_margin_s: float = Field(default=LEASE_MARGIN_S, gt=0)
    silent_after_s: float = Field(default=SILENT_AFTER_S, gt=0)
    launch_lag_s: float = Field(default=300.0, ge=0)
    token_life_s: float = Field(default=600.0, gt=0)
    boot_limit_s: float = Field(default=900.0, gt=0)
    prepare_limit_s: float = Field(default=3600.0, gt=0)
    drain_limit_s: float = Field(default=120.0, gt=0)
    instance_life_max_s: float = Field(default=7 * 86_400.0, gt=0)
    install_limit_s: float = Field(default=1800.0, gt=0)
    hung_after_s: float = Field(default=600.0, gt=0)
    over_off_s: float = Field(default=OVER_OFF_S, gt=0)
    fenced_off_s: float = Field(default=FENCED_OFF_S, gt=0)
    orphan_grace_s: float = Field(default=600.0, ge=0)

    def limits(self) -> Limits:
        """Without those that only the machine itself goes by."""
        return Limits(**self.model_dump(exclude=ON_THE_MACHINE))


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    home: Path
    store: Annotated[str, AfterValidator(_check_store)] = ""  # "": a file in the home folder
    storage: str = ""  # "": a folder in the home folder
    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65_535)
    api_url: Annotated[str, AfterValidator(_check_api_url)] = ""  # "": the address that is listened on
    cert_file: Path | None = None
    key_file: Path | None = None
    ca_file: Path | None = None  # what nodes trust the API's certificate by; null: what their image trusts
    storage_keys: Annotated[Any, AfterValidator(_check_keys)] = None  # see storage_keys.py
    providers: dict[str, dict[str, Any]] | None = None  # by cloud; null: those that need no account
    limits: LimitSettings = LimitSettings()
    leader_ttl_s: float = Field(default=15.0, ge=3)
    keep_events_days: float = Field(default=90.0, gt=0)

    @property
    def store_url(self) -> str:
        return self.store or f"sqlite:///{self.home / 'outlast.db'}"

    @property
    def storage_url(self) -> str:
        return self.storage or (self.home / "bucket").as_uri()


def home_folder(environment: Mapping[str, str] = os.environ) -> Path:
    return Path(environment.get("OUTLAST_HOME") or Path.home() / ".outlast").expanduser().absolute()


def load_settings(home: Path | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Raises UserError: one line that names the file or variable, and the key."""
    folder = home_folder(environment) if home is None else home.absolute()
    file = folder / FILE
    values = _read(file)
    sources = dict.fromkeys(values, str(file))
    for key in _ONE_VALUE:
        name = ENVIRONMENT + key.upper()
        if environment.get(name):
            values[key], sources[key] = environment[name], name
    if "home" in values:
        raise UserError(f"{file}: home: this is the folder that the file lies in; set OUTLAST_HOME instead")
    try:
        return Settings(home=folder, **values)
    except ValidationError as error:
        first = error.errors()[0]
        path = [str(part) for part in first["loc"]]
        source = sources.get(path[0], str(file))
        if source == str(file) and (line := _line(file, path)):
            source += f":{line}"
        unknown = first["type"] == "extra_forbidden"
        told = f"no such key; {_nearest(path)}" if unknown else first["msg"].removeprefix("Value error, ")
        raise UserError(f"{source}: {'.'.join(path)}: {told}") from error


def _nearest(path: list[str]) -> str:
    return nearest(path[-1], (LimitSettings if len(path) > 1 else Settings).model_fields.keys() - {"home"})


def _line(file: Path, path: list[str]) -> int:
    """Where in the file the key stands, or what it would stand in; 0: nowhere."""
    try:
        node = yaml.compose(file.read_text("utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return 0
    line = 0
    for part in path:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = [(key, value) for key, value in pairs if key.value == part]
        if not found:
            break
        line, node = found[-1][0].start_mark.line + 1, found[-1][1]
    return line


def remember_storage(home: Path, url: str) -> Path:
    """Makes `url` the storage of the settings file, and changes nothing else in it. Raises UserError."""
    file = home / FILE
    before = _read(file)
    line = f"storage: {json.dumps(url)}"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = file.read_text("utf-8").splitlines() if file.exists() else []
        found = [number for number, text in enumerate(lines) if re.match(r"storage\s*:", text)]
        if found:
            lines[found[0]] = line
        else:
            lines.append(line)
        text = "\n".join(lines) + "\n"
        if not _says(text, {**before, "storage": url}):
            raise UserError(f"{file}: it can't be changed line by line: write there {line}")
        made = file.with_name(f".{FILE}.new")
        made.touch(mode=0o600)
        made.write_text(text, "utf-8")
        made.chmod(file.stat().st_mode & 0o777 if file.exists() else 0o600)  # it may hold a password
        made.replace(file)
    except OSError as error:
        raise UserError(f"{file} can't be written: {error}") from error
    return file


def _says(text: str, values: dict[str, Any]) -> bool:
    try:
        return bool(yaml.safe_load(text) == values)
    except yaml.YAMLError:
        return False


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):  # the home folder is judged where it is made
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} can't be read: {error}") from error
    try:
        found = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}" if mark else str(file)
        raise UserError(
            f"{where}: not YAML: {error.problem}; look at this line and the one before"
        ) from error
    except yaml.YAMLError as error:
        raise UserError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise UserError(f"{file}: expected keys with values, found a {type(found).__name__}")
    return found
