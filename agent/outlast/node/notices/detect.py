"""Finds out once, at the start, where this machine's cloud announces what it will do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from outlast.node.notices import aws
from outlast.node_ports import NoticeSeen, NoticeSource

VENDOR_FILE = Path("/sys/class/dmi/id/sys_vendor")
SOURCES = (aws.source,)


class NoNotices:
    """A machine that nobody announces anything to: everything is correct without."""

    def poll(self) -> tuple[NoticeSeen, ...]:
        return ()


def detect(environment: Mapping[str, str], vendor_file: Path = VENDOR_FILE) -> NoticeSource:
    """By the firmware's word, never by probing one cloud's address after the other."""
    try:
        vendor = vendor_file.read_text(errors="replace").strip()
    except OSError:
        vendor = ""
    for source in SOURCES:
        found = source(environment, vendor)
        if found is not None:
            return found
    return NoNotices()
