"""The closed list of events, and the shape of one. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class Kind(str, enum.Enum):
    # what people did
    JOB_SUBMITTED = "job.submitted"
    JOB_UPDATED = "job.updated"
    JOB_WANTED = "job.wanted"  # pause, resume, cancel
    JOB_RESTART = "job.restart"
    # what the job became
    JOB_STATE = "job.state"
    # attempts
    ATTEMPT_PLANNED = "attempt.planned"
    ATTEMPT_ASSIGNED = "attempt.assigned"
    ATTEMPT_CLAIMED = "attempt.claimed"
    ATTEMPT_RUNNING = "attempt.running"
    ATTEMPT_DRAINING = "attempt.draining"
    ATTEMPT_ABANDONED = "attempt.abandoned"
    ATTEMPT_RELEASED = "attempt.released"
    ATTEMPT_CLOSED = "attempt.closed"
    ATTEMPT_ENDED_LATE = "attempt.ended-late"
    ATTEMPT_FAILED = "attempt.failed"
    ATTEMPT_UNHEALTHY = "attempt.unhealthy"  # the health gate refused its saves
    ATTEMPT_ADOPTED = "attempt.adopted"
    # instances
    LAUNCH_INTENDED = "launch.intended"
    LAUNCH_ACCEPTED = "launch.accepted"
    LAUNCH_REFUSED = "launch.refused"
    LAUNCH_UNSURE = "launch.unsure"
    INSTALL_TROUBLE = "install.trouble"
    INSTALL_MENDED = "install.mended"
    INSTANCE_READY = "instance.ready"
    INSTANCE_TERMINATING = "instance.terminating"
    INSTANCE_GONE = "instance.gone"
    INSTANCE_ADOPTED = "instance.adopted"
    ORPHAN_FOUND = "orphan.found"
    # told by the agent
    NOTICE_SEEN = "notice.seen"
    NOTICE_WITHDRAWN = "notice.withdrawn"
    TRAINER_STARTED = "trainer.started"
    TRAINER_STEPPED = "trainer.stepped"  # the first new step of an attempt
    TRAINER_EXITED = "trainer.exited"
    SAVE_FOUND = "save.found"
    SAVE_SKIPPED = "save.skipped"
    SAVE_DISCARDED = "save.discarded"
    SAVE_QUARANTINED = "save.quarantined"
    SAVE_ASKED = "save.asked"
    CADENCE_CHANGED = "cadence.changed"  # under `every: auto`
    UPLOAD_STARTED = "upload.started"
    CHECKPOINT_COMMITTED = "checkpoint.committed"
    CHECKPOINT_PRUNED = "checkpoint.pruned"
    CHECKPOINT_PINNED = "checkpoint.pinned"
    CHECKPOINT_UNPINNED = "checkpoint.unpinned"
    RESTORE_STARTED = "restore.started"
    RESTORE_FELL_BACK = "restore.fell_back"
    RESTORE_DONE = "restore.done"
    RESTORE_PREFETCHED = "restore.prefetched"  # ahead of the claim
    SETUP_DONE = "setup.done"
    ENVIRONMENT_KEPT = "environment.kept"  # in the bucket, for the nodes that come
    ENVIRONMENT_REUSED = "environment.reused"
    ENVIRONMENT_SKIPPED = "environment.skipped"  # made anew, or not kept, and why
    OUTPUTS_DONE = "outputs.done"
    FIT_WARNING = "fit.warning"  # state against disk, a full save against the notice
    FIT_MENDED = "fit.mended"
    STORAGE_TROUBLE = "storage.trouble"
    STORAGE_MENDED = "storage.mended"
    AGENT_FENCED = "agent.fenced"
    AGENT_STARTED = "agent.started"
    # the controller itself
    CONTROLLER_STARTED = "controller.started"
    CONTROLLER_LEADS = "controller.leads"
    CONTROLLER_RESTORED = "controller.restored"
    JOB_UNKNOWN = "job.unknown"  # it is in the bucket and not in the store
    CLOUD_TROUBLE = "cloud.trouble"
    CLOUD_MENDED = "cloud.mended"
    TELL = "tell"  # a person should read this


@dataclass(frozen=True)
class Event:
    """One line of the log. `seq` and `at` are given by the store; job "" means the controller itself."""

    kind: Kind
    why: str
    job: str = ""
    attempt: int | None = None  # generation
    node: int | None = None  # rank
    data: dict[str, str] = field(default_factory=dict)
    seq: int = 0
    at: float = 0.0  # seconds since 1970
    age_s: float = 0.0  # it happened this long before it was told; the store takes it off `at`
