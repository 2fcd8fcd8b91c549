"""The registry of clouds: each one's code and SDK are loaded only where that cloud is configured."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from outlast_orchestrator.controller.clock import SystemClock
from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.core.ports import Provider, Remote
from outlast_orchestrator.core.types import LaunchRequest
from outlast_orchestrator.core.view import Limits
from outlast_orchestrator.options import Misfit, read_options
from outlast_orchestrator.remote.access import Ways
from outlast_orchestrator.remote.boot import boot_script, switch_of
from outlast_orchestrator.remote.bundle import Bundles
from outlast_orchestrator.remote.deadman import Deadman, user_data
from outlast_orchestrator.settings import FILE, Settings
from outlast_orchestrator.storage_keys import MACHINE

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


class Account(Provider, Protocol):
    """A provider that says what its cloud promises."""

    launch_lag_s: float
    token_life_s: float
    notice_s: float
    first_hour_free: bool


@dataclass(frozen=True)
class Place:
    """The server that the cloud works for. `key`: what its nodes' tokens and keys follow from."""

    settings: Settings
    owner: str
    api_url: str
    key: bytes


def open_cloud(name: str, options: Mapping[str, Any], place: Place) -> Cloud:
    """Raises UserError: one line with the file and the key."""
    if name in WITHOUT_ACCOUNT:
        return _open_local(dict(options), place)
    if name not in _ACCOUNTS:
        there = ", ".join(sorted({*_ACCOUNTS, *WITHOUT_ACCOUNT}))
        raise UserError(f"{_key(place, name)}: no such cloud; there is: {there}")
    return _open_account(name, dict(options), place)


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


def _aws(options: dict[str, Any], place: Place) -> Account:
    from outlast_orchestrator.providers.aws.config import AwsConfig
    from outlast_orchestrator.providers.aws.provider import AwsProvider

    return AwsProvider(
        _read(AwsConfig, options, place, "aws"), SystemClock(), place.owner, by_role=_by_role(place)
    )


def _gcp(options: dict[str, Any], place: Place) -> Account:
    from outlast_orchestrator.providers.gcp.config import GcpConfig
    from outlast_orchestrator.providers.gcp.provider import GcpProvider

    return GcpProvider(
        _read(GcpConfig, options, place, "gcp"), SystemClock(), place.owner, by_role=_by_role(place)
    )


def _azure(options: dict[str, Any], place: Place) -> Account:
    from outlast_orchestrator.providers.azure.config import AzureConfig
    from outlast_orchestrator.providers.azure.provider import AzureProvider
    from outlast_orchestrator.remote.keys import login_key

    config = _read(AzureConfig, options, place, "azure")
    key = login_key(place.key).public
    return AzureProvider(config, SystemClock(), place.owner, key, by_role=_by_role(place))


def _by_role(place: Place) -> bool:
    """Its machines reach the bucket by a role of their own."""
    return bool(place.settings.storage_keys == MACHINE)


def _open_account(name: str, options: dict[str, Any], place: Place) -> Cloud:
    """A cloud in which a person has an account: its machines are elsewhere, and reached by SSH."""
    ways = options.pop(SSH, {})
    _may_be_used(place, name)
    try:
        from outlast_orchestrator.remote.install import SshRemote
        from outlast_orchestrator.remote.keyed import Keyed

        provider = _ACCOUNTS[name](options, place)
    except ModuleNotFoundError as error:
        mend = f"pip install 'outlast[{name}]'"
        raise UserError(f"{_key(place, name)}: {error.name} is missing: {mend}") from error
    settings, times = place.settings, place.settings.limits
    how = _read(Ways, ways, place, f"{name}.{SSH}")
    bundles = Bundles(settings.home / BUNDLES)
    limits = replace(
        times.limits(),
        launch_lag_s=provider.launch_lag_s,
        token_life_s=provider.token_life_s,
        notice_s=provider.notice_s,
        first_hour_free=provider.first_hour_free,
    )

    def script(request: LaunchRequest) -> str:
        from outlast_orchestrator.remote.keys import login_key

        switch = switch_of(request.max_life_s, times.install_limit_s, times.hung_after_s)
        return boot_script(switch, login_key(place.key).public)

    through = f" through `{how.proxy_command}`" if how.proxy_command else ""
    return Cloud(
        Keyed(provider, place.key),
        SshRemote(name, place.key, bundles, how, _authority(settings.ca_file)),
        limits,
        script,
        f"SSH to port {how.port}{through}; its machines report to {place.api_url}",
    )


_ACCOUNTS: dict[str, Callable[[dict[str, Any], Place], Account]] = {
    "aws": _aws,
    "azure": _azure,
    "gcp": _gcp,
}


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
    if settings.storage_keys is None:
        raise UserError(
            f"{settings.home / FILE}: storage_keys: say how machines reach the bucket: by keys for their own "
            "job alone (docs/clouds.md), or `machine`, if each may reach all jobs' checkpoints by its role"
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
