"""What a person says of their subscription in `providers.azure`. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

CLOUD = "azure"
ENDPOINT = "https://management.azure.com"
PRICES = "https://prices.azure.com"  # open to everybody, without credentials
# Ubuntu with NVIDIA's driver, CUDA and NCCL inside, of generation 2, as newer GPU sizes demand.
# https://learn.microsoft.com/azure/virtual-machines/azure-hpc-vm-images
IMAGE = "microsoft-dsvm:ubuntu-hpc:2204:latest"
REGIONAL = "regional"  # in place of a zone: Azure chooses one, or the region has none


@dataclass(frozen=True)
class Region:
    """One region that may be used. `subnet` and `security_group` are resource ids, which begin with
    `/subscriptions/`; `security_group` "": the subnet's own rules alone. Zones are "1", "2", "3"."""

    subnet: str
    security_group: str = ""
    zones: tuple[str, ...] = (REGIONAL,)


@dataclass(frozen=True)
class AzureConfig:
    """All machines are in one resource group, which belongs to Outlast alone.

    `endpoint_url` and `ca_file` are for what speaks like Azure Resource Manager; "": Microsoft's own.
    """

    subscription: str
    resource_group: str
    regions: dict[str, Region] = field(default_factory=dict)
    image: str = IMAGE  # publisher:offer:sku:version, or a resource id
    identity: str = ""  # resource id of the nodes' user-assigned managed identity; "": none
    admin_user: str = "outlast"  # Azure wants one; only this server's key opens it
    public_address: bool = True
    disk_type: str = "Premium_LRS"
    security_type: str = ""  # Standard or TrustedLaunch (without secure boot); "": as Azure does by itself
    instance_types: tuple[str, ...] = ()  # only these; (): all that are known
    endpoint_url: str = ""
    ca_file: str = ""
    prices_url: str = PRICES  # "": the shipped prices alone
