"""What a person says of their project in `providers.gcp`. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

CLOUD = "gcp"
# With the NVIDIA driver inside. https://cloud.google.com/deep-learning-vm/docs/images
IMAGE = "projects/deeplearning-platform-release/global/images/family/common-cu129-ubuntu-2404-nvidia-580"
NETWORK = "global/networks/default"


@dataclass(frozen=True)
class Region:
    """One region that may be used. `subnetwork` "": the project's default network."""

    zones: tuple[str, ...]
    subnetwork: str = ""


@dataclass(frozen=True)
class GcpConfig:
    """`endpoint_url` is for what speaks like Compute Engine; "": Google's own."""

    project: str
    regions: dict[str, Region] = field(default_factory=dict)
    image: str = IMAGE
    service_account: str = ""  # of the nodes; "": none
    public_address: bool = True
    disk_type: str = ""  # "": what the machine type takes
    endpoint_url: str = ""
    instance_types: tuple[str, ...] = ()  # only these; (): all that are known
