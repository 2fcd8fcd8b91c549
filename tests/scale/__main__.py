"""`python -m tests.scale [--jobs N] [--store URL]`: measures the controller and prints a table."""

from __future__ import annotations

import argparse
import sys

from tests.scale.measure import JOBS, STORES, measure

from outlast_orchestrator.core.errors import OutlastError


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures the controller with many jobs on this machine.")
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument(
        "--store", default="", help="sqlite, postgresql, or the URL of an empty store; none: both"
    )
    asked = parser.parse_args()
    named = asked.store in STORES
    try:
        figures = measure(asked.jobs, (asked.store,) if named else STORES, "" if named else asked.store)
    except OutlastError as error:
        parser.error(str(error))
    for figure in figures:
        sys.stdout.write(f"{figure.name:<56} {figure.words}\n")
    return 0 if all(figure.holds for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
