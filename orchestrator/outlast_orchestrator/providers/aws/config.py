"""What a person says of their account in `providers.aws`. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

CLOUD = "aws"
# Ubuntu with the open NVIDIA kernel modules, as Amazon keeps it; EC2 itself looks the newest one up.
# https://docs.aws.amazon.com/dlami/latest/devguide/dlami-dev-guide.html
IMAGE = (
    "resolve:ssm:/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id"
)
ROOT_DEVICE = "/dev/sda1"  # of Ubuntu; a wrong name adds a second disk instead of making the first one larger


@dataclass(frozen=True)
class Region:
    """One region that may be used. `subnets`: by availability zone, one each."""

    subnets: dict[str, str]
    security_groups: tuple[str, ...]
    image: str = IMAGE
    root_device: str = ROOT_DEVICE
    instance_profile: str = ""  # the name of the nodes' own role; "": none


@dataclass(frozen=True)
class AwsConfig:
    """`endpoint_url` is for what speaks like EC2; "": Amazon's own."""

    regions: dict[str, Region] = field(default_factory=dict)
    profile: str = ""  # of ~/.aws/config; "": the SDK's own search
    endpoint_url: str = ""
    instance_types: tuple[str, ...] = ()  # only these; (): all that are known
