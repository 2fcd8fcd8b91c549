"""Times and sizes that agent and controller must agree on. Pure."""

from __future__ import annotations

PROTOCOL = 1
PROTOCOL_OLDEST = 1  # one older version is accepted; there is none yet

REPORT_EVERY_S = 3.0  # unchanged reports repeat this often: four fit into SILENT_AFTER_S
STATUS_EVERY_S = 10.0  # the status object in the bucket
SILENT_AFTER_S = 12.0  # no report and no changed status object for this long: the node is silent
LEASE_S = 600.0  # no write to controller *or* bucket for this long: the agent stops and powers off
LEASE_MARGIN_S = 60.0  # the controller waits this much longer before it closes a silent attempt
POINTER_LOOK_EVERY_S = 30.0  # of the boot clock, as an absolute deadline: a frozen node looks first
OVER_OFF_S = 600.0  # an assignment is over and no other comes: the machine is of no use to anyone
FENCED_OFF_S = 60.0  # the same, once superseded: nobody will give this node work again
FENCED_TRAINER_DEAD_S = 60.0  # from waking up to a dead trainer, once superseded

AUTO_EVERY_MAX_S = 3600.0  # between two saves under `every: auto`

NOTICE_POLL_S = 2.0  # AWS advises 5 s; jitter is taken off, never added
GONE_AFTER_ABSENCES = 3  # complete listings, each begun after the last sign of life

# Without keys for the bucket, and with nobody there who gives new ones, a node trains on and saves on its own
# disk for so long: it can harm nothing in the bucket, whoever owns the job by then.
KEYLESS_MAX_S = 86_400.0

MANIFEST_BYTES_MAX = 64 << 20  # a manifest larger than this is refused, not read
POINTER_BYTES_MAX = 4 << 20
LOG_CHUNK_BYTES_MAX = 256 << 10
LOG_CHUNK_EVERY_S = 2.0
