"""Builds the order that starts a trainer: command, environment, resume arguments. Pure."""

from __future__ import annotations

import shlex

from outlast.gang import Meeting
from outlast.node_ports import Places, TrainerOrder
from outlast.protocol.messages import Work
from outlast.trainer_contract import environment
from outlast.view import Identity, Resume

RESUME_FROM = "{resume_from}"
RESUME_ARGS = "{resume_args}"  # where in `run` the resume arguments go; without it, at its end


def trainer_order(
    identity: Identity, work: Work, generation: int, places: Places, resume: Resume, meeting: Meeting
) -> TrainerOrder:
    """The job's own variables win over our conveniences, never over the words of the contract."""
    env = {
        "PYTHONUNBUFFERED": "1",
        # The same run in every attempt, so that its curves go on where they were.
        "WANDB_RUN_ID": f"outlast-{identity.job}",
        "WANDB_RESUME": "allow",
        **meeting.plain(),
        **work.env,
        **environment(
            job=identity.job,
            generation=generation,
            attempt_dir=places.attempt_dir,
            checkpoint_dir=places.checkpoint_dir,
            resume_from=resume.path or None,
            resume_step=resume.step,
            outputs=work.outputs,
        ),
        **meeting.environment(),
    }
    return TrainerOrder(
        command=command(work, resume),
        env=env,
        generation=generation,
        work_dir=places.work_dir,
        resume_path=resume.path,
        resume_step=resume.step,
        environment=places.environment,
        signal=work.checkpoint.signal,
    )


def command(work: Work, resume: Resume) -> str:
    """`run`, with the resume arguments only when there is a checkpoint to resume from."""
    args = ""
    if resume.path and work.checkpoint.resume_args:
        args = work.checkpoint.resume_args.replace(RESUME_FROM, shlex.quote(resume.path))
    if RESUME_ARGS in work.run:
        return work.run.replace(RESUME_ARGS, args)
    return f"{work.run.rstrip()} {args}" if args else work.run
