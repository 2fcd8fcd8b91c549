"""Starts the agent on a node (`python -I -m outlast --config FILE`), or alone for one command (`… run`)."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from outlast import __version__
from outlast.alone import main as alone
from outlast.config import Config, ConfigError, read_config
from outlast.node.compose import compose

EXIT_BAD_CONFIG = 2
ALONE = "run"


def main(arguments: list[str]) -> int:
    if arguments[:1] == [ALONE]:
        return alone.main(arguments[1:])
    parser = argparse.ArgumentParser(prog="outlast", description="The agent of a node.")
    parser.add_argument("--version", action="version", version=f"outlast {__version__}")
    parser.add_argument("--config", type=Path, metavar="FILE", required=True)
    options = parser.parse_args(arguments)
    try:
        config = read_config(options.config, os.environ)
        return run(config)
    except ConfigError as error:
        sys.stderr.write(f"outlast: {error}\n")
        return EXIT_BAD_CONFIG


def run(config: Config) -> int:
    """Raises ConfigError for what only shows when it is used."""
    agent = compose(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.shutdown())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return agent.run()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
