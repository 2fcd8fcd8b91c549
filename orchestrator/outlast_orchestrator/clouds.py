"""The registry of clouds: each one's code and SDK are loaded only where that cloud is configured."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from outlast_orchestrator.controller.clock import SystemClock
from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.core.ports import Provider, Remote
from outlast_orchestrator.core.types import LaunchRequest
from outlast_orchestrator.core.view import Limits
from outlast_orchestrator.options import Misfit, read_options
from outlast_orchestrator.remote.deadman import Deadman, user_data
from outlast_orchestrator.settings import FILE, Settings

T = TypeVar("T")
WITHOUT_ACCOUNT: dict[str, dict[str, Any]] = {"local": {}}
BUNDLES = "bundles"  # below the home folder
SSH = "ssh"  # how machines are reached, beside what the provider itself reads


@dataclass(frozen=True)
class Cloud:
    """One configured provider, with what it says of its own limits."""

    provider: Provider
    remote: Remote
    limits: Limits
    user_data: Callable[[LaunchRequest], str]
    way: str  # how its machines are reached, for people


@dataclass(frozen=True)
class Place:
    """The server that the cloud works for. `key`: what its nodes' tokens and keys follow from."""

    settings: Settings
    owner: str
    api_url: str
    key: bytes


def open_cloud(name: str, options: Mapping[str, Any], place: Place) -> Cloud:
    """Raises UserError: one line with the file and the key."""
    opener = _CLOUDS.get(name)
    if opener is None:
        there = ", ".join(sorted(_CLOUDS))
        raise UserError(f"{_key(place, name)}: no such cloud; there is: {there}")
    return opener(dict(options), place)


def _open_local(options: dict[str, Any], place: Place) -> Cloud:
    from outlast_orchestrator.providers.local.config import CloudConfig
    from outlast_orchestrator.providers.local.control import start_cloud
    from outlast_orchestrator.providers.local.provider import LocalProvider
    from outlast_orchestrator.providers.local.remote import LocalRemote

    settings = place.settings
    clock, folder = SystemClock(), settings.home / "local-cloud"
    config = _read(CloudConfig, options, place, "local") if options else None
    # It outlives this process, so that its machines do.
    start_cloud(folder, config).set_api(place.api_url, owner=place.owner)
    provider = LocalProvider(folder, clock, place.owner)
    times = settings.limits
    limits = replace(times.limits(), launch_lag_s=provider.launch_lag_s, token_life_s=provider.token_life_s)
    limits = replace(limits, notice_s=(config or CloudConfig()).notice_s)

    def switch(request: LaunchRequest) -> str:
        return user_data(Deadman(request.max_life_s, times.install_limit_s, times.hung_after_s))

    way = "its machines are sessions on this computer"
    return Cloud(provider, LocalRemote(folder, clock), limits, switch, way)


def _open_aws(options: dict[str, Any], place: Place) -> Cloud:
    ways = options.pop(SSH, {})
    _may_be_used(place, "aws")
    try:
        from outlast_orchestrator.providers.aws.config import AwsConfig
        from outlast_orchestrator.providers.aws.provider import AwsProvider
    except ModuleNotFoundError as error:
        raise _not_installed(place, "aws", error) from error

    provider = AwsProvider(_read(AwsConfig, options, place, "aws"), SystemClock(), place.owner)
    limits = replace(
        place.settings.limits.limits(),
        launch_lag_s=provider.launch_lag_s,
        token_life_s=provider.token_life_s,
        notice_s=120.0,
        first_hour_free=True,
    )
    return _over_ssh("aws", provider, ways, limits, place)


def _open_gcp(options: dict[str, Any], place: Place) -> Cloud:
    ways = options.pop(SSH, {})
    _may_be_used(place, "gcp")
    try:
        from outlast_orchestrator.providers.gcp.config import GcpConfig
        from outlast_orchestrator.providers.gcp.provider import GcpProvider
    except ModuleNotFoundError as error:
        raise _not_installed(place, "gcp", error) from error

    provider = GcpProvider(_read(GcpConfig, options, place, "gcp"), SystemClock(), place.owner)
    limits = replace(
        place.settings.limits.limits(),
        launch_lag_s=provider.launch_lag_s,
        token_life_s=provider.token_life_s,
        notice_s=30.0,  # 120 are asked for, and not every project gets them
    )
    return _over_ssh("gcp", provider, ways, limits, place)


_CLOUDS: dict[str, Callable[[dict[str, Any], Place], Cloud]] = {
    "aws": _open_aws,
    "gcp": _open_gcp,
    "local": _open_local,
}


def _over_ssh(name: str, provider: Provider, ways: Any, limits: Limits, place: Place) -> Cloud:
    """What all clouds have in common whose machines are reached by SSH."""
    try:
        from outlast_orchestrator.remote.boot import boot_script, switch_of
        from outlast_orchestrator.remote.bundle import Bundles
        from outlast_orchestrator.remote.install import SshRemote, Ways
        from outlast_orchestrator.remote.keyed import Keyed
        from outlast_orchestrator.remote.keys import login_key
    except ModuleNotFoundError as error:
        raise _not_installed(place, name, error) from error

    settings, times = place.settings, place.settings.limits
    how = _read(Ways, ways, place, f"{name}.{SSH}")
    bundles = Bundles(settings.home / BUNDLES)
    remote = SshRemote(name, place.key, bundles, how, _authority(settings.ca_file))
    through = f" through `{how.proxy_command}`" if how.proxy_command else ""
    way = f"SSH to port {how.port}{through}; its machines report to {place.api_url}"

    def script(request: LaunchRequest) -> str:
        switch = switch_of(request.max_life_s, times.install_limit_s, times.hung_after_s)
        return boot_script(switch, login_key(place.key).public)

    return Cloud(Keyed(provider, place.key), remote, limits, script, way)


def _may_be_used(place: Place, name: str) -> None:
    """Its machines are elsewhere: this machine's loopback and folders are not theirs."""
    settings, host = place.settings, urlsplit(place.api_url).hostname or ""
    if _is_here_only(host):
        raise UserError(
            f"{_key(place, name)}: its machines can't reach {place.api_url}: set api_url to an https address "
            "that they can, with host, cert_file and key_file"
        )
    if not settings.storage:
        raise UserError(
            f"{_key(place, name)}: its machines can't reach the bucket, a folder of this one: set storage, "
            "for instance to s3://BUCKET"
        )


def _is_here_only(host: str) -> bool:
    """An address that leads nowhere from another machine: the loopback, or "all addresses of this one"."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
        return address.is_loopback or address.is_unspecified
    except ValueError:
        return False


def _authority(file: Path | None) -> str:
    try:
        return file.read_text("ascii") if file is not None else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"ca_file: {file} can't be read: {error}") from error


def _read(cls: type[T], options: Any, place: Place, name: str) -> T:
    try:
        return read_options(cls, options, f"providers.{name}")
    except Misfit as error:
        raise UserError(f"{place.settings.home / FILE}: {error}") from error


def _key(place: Place, name: str) -> str:
    return f"{place.settings.home / FILE}: providers.{name}"


def _not_installed(place: Place, name: str, error: ModuleNotFoundError) -> UserError:
    return UserError(f"{_key(place, name)}: {error.name} is missing: pip install 'outlast[{name}]'")
