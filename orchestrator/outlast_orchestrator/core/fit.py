"""Whether a job's state fits its disk, and a full save the cloud's notice; each misfit in words. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

GIB = 1 << 30
COPIES = 2  # on a node's disk at least: the one that it resumed from or made last, and the one being written
MENDED_SHARE = 0.8  # a misfit that was told ends only clearly below the limit, so that it does not flicker
NOTICE, DISK, FREE = "notice", "disk", "free"


@dataclass(frozen=True)
class Load:
    """What is known, each None as long as it is not. `notice_s` 0: that cloud gives none."""

    cloud: str
    notice_s: float | None = None
    state_bytes: int | None = None
    save_s: float | None = None
    upload_s: float | None = None
    disk_gb: int | None = None  # as asked for
    disk_free: int | None = None  # as the node last saw it


@dataclass(frozen=True)
class Misfit:
    kind: str
    text: str


def misfits(load: Load, standing: Collection[str] = ()) -> tuple[Misfit, ...]:
    """`standing`: the kinds that people have heard of and that were not mended yet."""
    found = (_notice(load, NOTICE in standing), _disk(load, DISK in standing), _free(load, FREE in standing))
    return tuple([one for one in found if one is not None])


def _share(standing: bool) -> float:
    return MENDED_SHARE if standing else 1.0


def _notice(load: Load, standing: bool) -> Misfit | None:
    if load.notice_s is None or load.save_s is None or load.upload_s is None:
        return None
    need_s = load.save_s + load.upload_s
    if need_s <= load.notice_s * _share(standing):
        return None
    parts = f"(the save {load.save_s:.0f} s, its upload {load.upload_s:.0f} s)"
    return Misfit(
        NOTICE,
        f"a full save takes {need_s:.0f} s {parts}, {load.cloud} gives {load.notice_s:.0f} s: a machine that "
        "is taken costs what was trained since the last save; a shorter checkpoint.every makes that less",
    )


def _disk(load: Load, standing: bool) -> Misfit | None:
    if load.state_bytes is None or load.disk_gb is None:
        return None
    need = COPIES * load.state_bytes
    if need <= load.disk_gb * 1e9 * _share(standing):
        return None
    return Misfit(
        DISK,
        f"a checkpoint has {load.state_bytes / GIB:.1f} GiB, and a node holds at least {COPIES} of them: "
        f"{load.disk_gb} GB of disk are too few; set resources.disk_gb to {int(need * 1.25 / 1e9) + 1}",
    )


def _free(load: Load, standing: bool) -> Misfit | None:
    if load.state_bytes is None or load.disk_free is None:
        return None
    if load.state_bytes <= load.disk_free * _share(standing):
        return None
    return Misfit(
        FREE,
        f"the node's disk has {load.disk_free / GIB:.1f} GiB free, and the next checkpoint needs "
        f"{load.state_bytes / GIB:.1f} GiB: have the trainer keep fewer, or set a larger resources.disk_gb",
    )


def words(load: Load) -> list[str]:
    """For people, before and while it runs: the misfits, or what is known and fits."""
    found = [one.text for one in misfits(load)]
    if found:
        return found
    if load.state_bytes is None or load.save_s is None or load.upload_s is None:
        notice = "" if load.notice_s is None else f"; {load.cloud} gives {load.notice_s:.0f} s of notice"
        return [f"what a checkpoint takes is not known before the first one{notice}"]
    size, need_s = load.state_bytes / GIB, load.save_s + load.upload_s
    told = f"a checkpoint has {size:.1f} GiB, a full save takes {need_s:.0f} s"
    return [told if load.notice_s is None else f"{told}, {load.cloud} gives {load.notice_s:.0f} s of notice"]
