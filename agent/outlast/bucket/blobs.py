"""Azure Blob Storage: where a container is, how obstore reaches it, and what its errors mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from obstore.exceptions import BaseError
from obstore.store import AzureStore

from outlast.bucket.address import Address, read_address, shown, split
from outlast.bucket.credentials import Keys, provider
from outlast.bucket.dialect import Dialect, short
from outlast.bucket.obstore_client import ObjectStoreBucket, Reach, check_options
from outlast.bucket.signed import urls_of

EXAMPLE = "az://container/prefix?account=NAME"
WEB_EXAMPLE = "https://ACCOUNT.blob.core.windows.net/container/prefix"
DOMAIN = ".blob.core.windows.net"
QUERY_KEYS = frozenset({"account", "endpoint", "allow_http", "kms_key"})
OPTIONS = frozenset({"account_key", "sas_key", "token", "client_id", "client_secret", "tenant_id"})
SIGNATURE = "sas_key"
_KEY_NAMES = {SIGNATURE: "sas_token", "token": "token"}

_DENIED = frozenset(
    {
        "AccountIsDisabled",
        "AuthenticationFailed",
        "AuthorizationFailure",
        "AuthorizationPermissionMismatch",
        "BlobImmutableDueToLegalHold",
        "BlobImmutableDueToPolicy",
        "BlobOperationNotSupported",
        "BlobUsesCustomerSpecifiedEncryption",
        "ContainerDisabled",
        "ContainerHasLegalHold",
        "ContainerImmutabilityPolicyLocked",
        "FeatureVersionMismatch",
        "InsufficientAccountPermissions",
        "InvalidAuthenticationInfo",
        "InvalidResourceName",
        "LeaseIdMissing",
        "ResourceTypeMismatch",
        "UnsupportedHttpVerb",
    }
)


def address_of(url: str) -> Address:
    """Raises ValueError."""
    return read_address(url, QUERY_KEYS, EXAMPLE) if split(url).scheme == "az" else web_address(url)


def web_address(url: str) -> Address:
    """The address behind a web URL, as the portal shows it. Raises ValueError."""
    parts = split(url)
    account = parts.netloc.removesuffix(DOMAIN)
    container, _, prefix = unquote(parts.path).lstrip("/").partition("/")
    if parts.scheme != "https" or account == parts.netloc or "@" in account or not container:
        bare = shown(url)
        raise ValueError(
            f"{bare!r}: write {WEB_EXAMPLE}; a store that speaks S3: s3://bucket?endpoint={bare}"
        )
    read = read_address(f"az://{container}/{prefix}?{parts.query}".rstrip("?"), QUERY_KEYS, WEB_EXAMPLE)
    return Address(url, read.bucket, read.prefix, {**read.query, "account": account})


def open_blobs(address: Address, options: Mapping[str, str], keys: Keys | None = None) -> ObjectStoreBucket:
    """A version is an ETag, new with every write. Raises ValueError."""
    check_options(options, OPTIONS)
    if address.text("kms_key"):
        raise ValueError(
            f"{address.url!r}: this kind of bucket takes its key from the account's own settings: "
            "az storage account update --name ACCOUNT --encryption-key-source Microsoft.Keyvault "
            "--encryption-key-vault URL --encryption-key-name NAME"
        )
    config: dict[str, Any] = {name: value for name, value in options.items() if value}
    place = {"account_name": address.text("account"), "endpoint": address.endpoint()}
    config |= {name: value for name, value in place.items() if value}
    allow_http = address.flag("allow_http")

    def connect(reach: Reach) -> AzureStore:
        try:
            return AzureStore(
                address.bucket,
                config=config,  # type: ignore[arg-type]  # built from checked names
                client_options=reach.client(allow_http=allow_http),  # type: ignore[arg-type]
                retry_config=reach.retry(),
                credential_provider=provider(keys, _KEY_NAMES),
            )
        except BaseError as error:
            missing = "name the storage account: add ?account=NAME" if "Account" in str(error) else ""
            raise ValueError(f"{address.url!r}: {missing or short(str(error))}") from error

    origin = origin_of(address)
    signed = keys is not None or SIGNATURE in options
    urls = urls_of(f"{origin}/{quote(address.bucket)}", SIGNATURE, options, keys) if signed else None
    return ObjectStoreBucket(connect, _dialect(address.bucket, origin), address.query, urls=urls)


def origin_of(address: Address) -> str:
    """Of the account. Raises ValueError."""
    return address.endpoint().rstrip("/") or f"https://{address.text('account')}{DOMAIN}"


def _dialect(container: str, origin: str) -> Dialect:
    return Dialect(
        place=f"az://{container}",
        version=lambda found: found["e_tag"],
        over=lambda version: {"e_tag": version},
        no_bucket=frozenset({"ContainerNotFound", "ContainerBeingDeleted"}),
        no_object=frozenset({"BlobNotFound", "404"}),  # of a batch of deletes only the number is known
        denied=_DENIED,
        full=frozenset(),
        undecided=frozenset(),
        taken=frozenset({"BlobAlreadyExists"}),
        origin=origin,
        credentials="set AZURE_STORAGE_ACCOUNT_KEY, or give the machine an identity",
    )
