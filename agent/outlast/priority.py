"""Lowers the priority of a thread, for processors and disks: the trainer comes first."""

from __future__ import annotations

import ctypes
import os
import platform
import threading
from contextlib import suppress

NICE = 10  # a tenth of the share of a thread of the trainer, and all of what that leaves over
LOWEST_OF_ITS_CLASS = 2 << 13 | 7  # "best effort", as everyone, and the last in its queue
IOPRIO_SET = {"x86_64": 251, "aarch64": 30}  # the C library has no function for it


def give_way() -> None:
    """The calling thread, and those that it starts from now on. Where the system refuses, nothing changes."""
    if not hasattr(os, "setpriority"):
        return
    thread = threading.get_native_id()
    with suppress(OSError):
        if os.getpriority(os.PRIO_PROCESS, thread) < NICE:
            os.setpriority(os.PRIO_PROCESS, thread, NICE)
    if (call := IOPRIO_SET.get(platform.machine())) is not None:
        ctypes.CDLL(None).syscall(call, 1, 0, LOWEST_OF_ITS_CLASS)  # 1: a thread, 0: this one
