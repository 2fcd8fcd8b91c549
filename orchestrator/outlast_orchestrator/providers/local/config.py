"""What a local cloud offers and how its market behaves; stored in its state folder. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

CLOUD = "local"


@dataclass(frozen=True)
class InstanceType:
    name: str
    on_demand_usd_h: float
    capacity: int = 8  # machines of this type in one zone
    gpu: str = ""  # declared, so that a request for GPUs can be tried where there are none
    gpu_count: int = 0


@dataclass(frozen=True)
class MarketConfig:
    """`calm`: nobody is interrupted. `seed`: by the published statistics. `trace`: by files of a folder."""

    kind: str = "calm"
    seed: int = 0
    speed: float = 1.0  # market seconds in one real second
    folder: str = ""  # trace
    files: dict[str, str] = field(default_factory=dict)  # trace: zone → file; {}: in order of their names
    late_share: float = 0.10  # of the notices that come late
    missing_share: float = 0.05  # of the interruptions that come without any

    def __post_init__(self) -> None:
        if self.kind not in ("calm", "seed", "trace"):
            raise ValueError(f"market kind {self.kind!r} is none of calm, seed, trace")
        if self.speed <= 0:
            raise ValueError(f"market speed must be above 0, found {self.speed}")
        if self.kind == "trace" and not self.folder:
            raise ValueError("a market driven by a trace needs its folder")


@dataclass(frozen=True)
class CloudConfig:
    zones: dict[str, tuple[str, ...]] = field(  # by region
        default_factory=lambda: {"here": ("here-a", "here-b", "here-c")}
    )
    types: tuple[InstanceType, ...] = (
        InstanceType("cpu-1", 0.10),
        InstanceType("cpu-2", 0.20),
        InstanceType("cpu-4", 0.40),
    )
    market: MarketConfig = field(default_factory=MarketConfig)
    notice_s: float = 120.0
    boot_s: float = 0.0  # pending for so long, besides what the start of the process takes
    grace_s: float = 5.0  # between SIGTERM and SIGKILL of an orderly end
    ended_listed_s: float = 3600.0  # ended instances vanish from listings after this
    token_life_s: float = 86400.0
    keep_disks: bool = False  # keep the disk of an ended instance until it vanishes, to look at

    def __post_init__(self) -> None:
        if not self.zones or not all(self.zones.values()):
            raise ValueError("a cloud needs at least one region, and each region a zone")
        if len({t.name for t in self.types}) != len(self.types) or not self.types:
            raise ValueError("instance types need names of their own, and there must be one")

    def region_of(self, zone: str) -> str | None:
        return next((region for region, zones in self.zones.items() if zone in zones), None)

    def type_named(self, name: str) -> InstanceType | None:
        return next((t for t in self.types if t.name == name), None)

    @property
    def all_zones(self) -> tuple[str, ...]:
        return tuple(zone for region in sorted(self.zones) for zone in self.zones[region])
