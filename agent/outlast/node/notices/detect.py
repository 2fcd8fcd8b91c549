"""Finds out once, at the start, where this machine's cloud announces what it will do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from outlast.node.notices import aws, azure, firmware, gcp
from outlast.node_ports import NoticeSeen, NoticeSource

SOURCES = (aws.source, gcp.source, azure.source)


class NoNotices:
    """A machine that nobody announces anything to: everything is correct without."""

    def poll(self) -> tuple[NoticeSeen, ...]:
        return ()


def detect(environment: Mapping[str, str], cloud: str = "", folder: Path = firmware.FOLDER) -> NoticeSource:
    """By the word of whoever started this machine (`cloud`, as the controller calls it) or of its firmware,
    never by probing one cloud's address after the other."""
    made = firmware.read(folder)
    for source in SOURCES:
        found = source(environment, made, cloud)
        if found is not None:
            return found
    return NoNotices()
