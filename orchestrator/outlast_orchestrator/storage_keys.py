"""Opens the source of keys that the settings name; a store's own code and SDK are loaded only then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from outlast.bucket.address import split
from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.core.ports import Credentials
from outlast_orchestrator.options import Misfit, read_options
from outlast_orchestrator.settings import FILE, Settings
from outlast_orchestrator.storage.keys.proof import Proven

MACHINE = "machine"  # each machine reaches the bucket by its own role, and so all jobs in it
KEY = "storage_keys"
T = TypeVar("T")


def open_credentials(settings: Settings) -> Credentials | None:
    """None: machines are given no keys. Raises UserError: one line with the file and the key."""
    said = settings.storage_keys
    if said is None or said == MACHINE:
        return None
    place = f"{settings.home / FILE}: {KEY}"
    scheme = split(settings.storage).scheme if settings.storage else "file"
    scheme = "az" if scheme == _WEB else scheme
    if scheme not in _STORES:
        raise UserError(
            f"{place}: no keys for one job alone can be made for {scheme}://, only for {', '.join(_STORES)}: "
            f"set it to {MACHINE} if every machine may reach the checkpoints of all jobs"
        )
    options = dict(said) if isinstance(said, Mapping) else {}
    extra, opener = _STORES[scheme]
    try:
        return Proven(opener(options, settings.home))
    except ModuleNotFoundError as error:
        raise UserError(f"{place}: {error.name} is missing: pip install 'outlast[{extra}]'") from error


def _s3(options: dict[str, Any], home: Path) -> Credentials:
    """A role is AWS's way, and of what speaks like it; an account is R2's."""
    if "account" in options:
        from outlast_orchestrator.storage.keys.r2 import R2Options, TemporaryKeys

        return TemporaryKeys(_read(R2Options, options, home))
    from outlast_orchestrator.storage.keys.s3 import SessionKeys, StsOptions

    return SessionKeys(_read(StsOptions, options, home))


def _gcs(options: dict[str, Any], home: Path) -> Credentials:
    from outlast_orchestrator.storage.clock import CheckClock
    from outlast_orchestrator.storage.keys.gcs import BoundaryOptions, BoundaryTokens

    return BoundaryTokens(_read(BoundaryOptions, options, home), CheckClock())


def _az(options: dict[str, Any], home: Path) -> Credentials:
    from outlast_orchestrator.storage.clock import CheckClock
    from outlast_orchestrator.storage.keys.azure import FolderSignatures, SignatureOptions

    return FolderSignatures(_read(SignatureOptions, options, home), CheckClock())


_Opener = Callable[[dict[str, Any], Path], Credentials]
_STORES: dict[str, tuple[str, _Opener]] = {  # and what to install
    "s3": ("aws", _s3),
    "gs": ("gcp", _gcs),
    "az": ("azure", _az),
}
_WEB = "https"  # Blob Storage's, as the portal shows it


def _read(cls: type[T], options: dict[str, Any], home: Path) -> T:
    try:
        return read_options(cls, options, KEY)
    except Misfit as error:
        raise UserError(f"{home / FILE}: {error}") from error
