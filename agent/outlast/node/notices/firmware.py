"""What the machine's firmware says of its maker: which cloud it is, without asking any address."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("/sys/class/dmi/id")


@dataclass(frozen=True)
class Firmware:
    """Empty strings where the firmware says nothing, or can't be read."""

    vendor: str = ""
    product: str = ""
    asset_tag: str = ""  # of the chassis


def read(folder: Path = FOLDER) -> Firmware:
    names = ("sys_vendor", "product_name", "chassis_asset_tag")
    return Firmware(*(_text(folder / name) for name in names))


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
