"""The controller's own log: JSON lines in a file of the home folder, turned over by size."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

import structlog

from outlast_orchestrator.core.events import Event

LOG_FILE = "controller.log"
LOG_BYTES_MAX = 10 << 20
LOG_FILES_MAX = 4
log = structlog.get_logger("outlast.controller")


class _PrivateFile(RotatingFileHandler):
    """For this user only, also after a turn."""

    def _open(self) -> TextIOWrapper:
        fd = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return TextIOWrapper(os.fdopen(fd, "ab"), encoding="utf-8")


def write_log(home: Path) -> None:
    """From now on every line of this process goes there."""
    handler = _PrivateFile(home / LOG_FILE, maxBytes=LOG_BYTES_MAX, backupCount=LOG_FILES_MAX, delay=True)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("outlast")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=False,
    )


def log_events(events: Sequence[Event]) -> None:
    for event in events:
        # Keys of an event never hide those of the log line.
        data = {f"data_{key}": value for key, value in event.data.items()}
        log.info(event.kind.value, job=event.job, attempt=event.attempt, why=event.why, **data)
