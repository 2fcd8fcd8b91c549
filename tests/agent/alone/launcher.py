"""`agent run` with a short lease and a quick rhythm: `python -I launcher.py LEASE_S [options] -- COMMAND`."""

from __future__ import annotations

import sys

from outlast.alone.main import Rhythm, main
from outlast.cadence import Pace

FAST = Pace(
    report_every_s=0.5, report_again_s=0.2, status_every_s=0.5, notice_poll_s=5.0, pointer_look_every_s=0.5,
    boot_clock_every_s=0.1, log_every_s=0.5, scan_every_s=0.05, trainer_every_s=0.05, outputs_every_s=5.0,
    hang_s=5.0, freeze_s=1.0,
)  # fmt: skip

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[2:], rhythm=Rhythm(FAST, look_every_s=0.2, lease_s=float(sys.argv[1]))))
