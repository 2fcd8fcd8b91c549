"""Imports a framework once and forks a trainer for every order: `zygote.py CODE`; one JSON line an order.

Starting Python and importing a framework takes ten times as long as the training that the tests need; a
process that is forked after that is as real for its kernel, and dies as one. `STEP_S` in a trainer's
environment makes a step of its optimizer as slow as a real one's. When it ends, its code is in `<log>.code`.
"""

from __future__ import annotations

import gc
import json
import os
import random
import runpy
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

import numpy
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook


def main() -> None:
    torch.set_num_threads(1)
    exec(sys.argv[1], {})  # the test's own imports
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    say("ready")
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _train(json.loads(line))
        say(str(pid))


def say(word: str) -> None:
    os.write(1, f"{word}\n".encode())


def _train(order: dict[str, Any]) -> NoReturn:
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv, sys.path[0] = order["argv"], order["cwd"]
    random.seed()  # as every new process begins
    numpy.random.seed()
    step_s = float(os.environ.get("STEP_S", "0"))
    if step_s:
        register_optimizer_step_post_hook(lambda *_: time.sleep(step_s))
    code = 1
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        Path(order["log"] + ".code").write_text(str(code))
        os._exit(code)


if __name__ == "__main__":
    main()
