"""All tasks of one agent: hands each act to the task that owns what it touches, and aims those that look."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from outlast.acts import (
    Act,
    AskSave,
    Begin,
    Claim,
    Commit,
    End,
    FinishOutputs,
    Join,
    Kill,
    LeaveOut,
    Over,
    PowerOff,
    Prepare,
    Prune,
    Recover,
    Release,
    Remember,
    Restore,
    Settle,
    Start,
    Stay,
    Upload,
)
from outlast.bucket.outcomes import Applied
from outlast.cadence import Pace
from outlast.gang import meeting_of, pointer_to_follow
from outlast.launch import trainer_order
from outlast.news import Committed, News, SaveFound, Uploaded
from outlast.node_ports import Node, NodeMemory
from outlast.ports import Bucket, Link, Runtime
from outlast.protocol.messages import WriterRef
from outlast.save.types import Draft, StableCopy
from outlast.tasks.desk import Desk, Flag, Post, Wanted
from outlast.tasks.environment import EnvironmentTask
from outlast.tasks.link import HangTask, ReportTask, StatusTask
from outlast.tasks.logs import LogsTask, LogTarget
from outlast.tasks.outputs import OutputsTask
from outlast.tasks.pointer import PointerTask, writer_of
from outlast.tasks.prefetch import PrefetchTask
from outlast.tasks.saving import FinderTask, Partner, ShipperTask
from outlast.tasks.trainer import TrainerTask
from outlast.tasks.watch import Leader, LeaderTask, NoticeTask, Target, WatchdogTask
from outlast.tasks.workplace import WorkplaceTask
from outlast.trainer_contract import SaveRequest
from outlast.view import AgentView, Assignment, Identity, Stage

TOKEN_BYTES = 6
PAST_MAX = 20


class Crew:
    def __init__(
        self,
        identity: Identity,
        runtime: Runtime,
        link: Link,
        bucket: Bucket,
        node: Node,
        post: Post,
        pace: Pace,
    ) -> None:
        self._identity = identity
        self._runtime = runtime
        self._node = node
        self._wanted = Wanted()  # what is long is called off once the assignment is on its way out
        self._hurry = Flag()  # set while the machine is being left
        self._target = Target()
        self._log_target: LogTarget | None = None
        self._aimed: tuple[Assignment | None, tuple[WriterRef, ...]] | None = None  # from which both follow
        self.reports = ReportTask(runtime, link, post)
        self.status = StatusTask(runtime, bucket, post)
        self._pointer = PointerTask(runtime, bucket, identity, post)
        self._shipper = ShipperTask(runtime, bucket, identity, post)
        self._trainer = TrainerTask(runtime, node.trainer, node.saves, post, pace.trainer_every_s)
        self._finder = FinderTask(runtime, node.saves, node.trainer, post, pace.scan_every_s)
        self._outputs = OutputsTask(runtime, bucket, node.outputs, post, pace.outputs_every_s)
        self._prefetch = PrefetchTask(runtime, bucket, node.workplace, identity, post, pace.prefetch_every_s)
        self._workplace = WorkplaceTask(
            runtime,
            bucket,
            node.workplace,
            node.outputs,
            node.disk,
            self._pointer,
            self._prefetch,
            post,
            identity.job,
        )
        self._environment = EnvironmentTask(runtime, node.environments, post)
        self._logs = LogsTask(runtime, bucket, node.logs, identity.boot, pace.log_every_s)
        self._watchdog = WatchdogTask(
            runtime, bucket, identity.job, post, pace.pointer_look_every_s, pace.boot_clock_every_s
        )
        self._leaders: LeaderTask | None = None  # only a node of a gang has one
        self._leader: Leader | None = None
        self._new_leaders = functools.partial(LeaderTask, runtime, bucket, post, pace.gang_every_s)
        self._power = Desk(runtime, "power")
        HangTask(runtime, link, post, pace.hang_s)
        NoticeTask(runtime, node.notices, post, pace.notice_poll_s)

    def carry_out(self, view: AgentView, act: Act) -> None:
        """`view` is the one after the act was marked as under way."""
        if isinstance(act, PowerOff):
            self._power.give(lambda: self._node.power.off(act.why))
        elif isinstance(act, Recover):
            assert view.stray is not None
            self._pointer.recover(view.stray, view.remembered_attempt)
        elif isinstance(act, Begin):
            self._wanted = Wanted()
        elif view.assignment is not None:
            if isinstance(act, (Prepare, Remember, Claim, Join, Restore, Start)):
                self._lead_in(view, view.assignment, act)
            elif isinstance(act, (Upload, LeaveOut, Commit, Prune)):
                self._ship(view.assignment, act)
            else:
                self._lead_out(view.assignment, act)

    def _lead_in(self, view: AgentView, assignment: Assignment, act: Act) -> None:
        if isinstance(act, Prepare):
            self._workplace.prepare(assignment, self._wanted.order())
        elif isinstance(act, Remember):
            # Who follows never claims. That it was here is remembered all the same.
            follows = assignment.follows
            writer = "" if follows else f"{self._identity.instance}-{self._runtime.token(TOKEN_BYTES)}"
            memory = NodeMemory(
                assignment.generation, assignment.rank, assignment.attempt, writer, view.past[-PAST_MAX:]
            )
            self._workplace.remember(assignment.generation, memory)
        elif isinstance(act, Claim):
            self._pointer.claim(assignment, act.permission)
        elif isinstance(act, Join):
            self._workplace.join(assignment, self._identity)
        elif isinstance(act, Restore):
            start, pointer = assignment.start, assignment.pointer
            pointer = pointer if start is None else pointer_to_follow(start, self._identity)
            assert pointer is not None
            self._workplace.restore(assignment, pointer)
        elif isinstance(act, Start):
            work, generation = assignment.work, assignment.generation
            places = self._node.workplace.places(work, generation)
            meeting = meeting_of(self._identity.job, assignment)
            order = trainer_order(self._identity, work, generation, places, assignment.resume, meeting)
            label = f"g{generation}-{self._identity.boot}"
            self._trainer.start(order, work, assignment.resume.manifest, label)

    def _ship(self, assignment: Assignment, act: Upload | LeaveOut | Commit | Prune) -> None:
        saving, generation = assignment.saving, assignment.generation
        if isinstance(act, Upload):
            follows = assignment.follows
            partner = Partner.of(self._identity, assignment, act.skips) if follows else None
            self._shipper.upload(
                generation,
                act.copy,
                None if follows else saving.base,
                self._wanted.order(),
                mbps_max=assignment.work.checkpoint.upload_mbps_max,
                hurry=self._hurry,
                partner=partner,
            )
        elif isinstance(act, LeaveOut):
            self._shipper.leave_out(generation, Partner.of(self._identity, assignment, act.step))
        elif isinstance(act, Commit):
            assert saving.draft is not None
            self._pointer.commit(generation, saving.draft, assignment.parts)
        else:
            self._pointer.prune(generation)

    def _lead_out(self, assignment: Assignment, act: Act) -> None:
        generation, exit_ = assignment.generation, assignment.trainer.exit
        if isinstance(act, AskSave):
            request = SaveRequest(self._runtime.token(TOKEN_BYTES), act.final, act.why, act.limit_s)
            self._trainer.ask_save(generation, request)
        elif isinstance(act, Stay):
            self._trainer.withdraw_save()
        elif isinstance(act, Kill):
            self._trainer.kill(generation, act.grace_s)
        elif isinstance(act, Settle):
            code = exit_.code if exit_ is not None else 1
            self._finder.settle(generation, code, by_itself=not assignment.trainer.killed_why)
            self._logs.hurry()
        elif isinstance(act, FinishOutputs):
            self._outputs.finish(generation, assignment.work, self._wanted.order())
        elif isinstance(act, (Release, End, Over)):
            self._wanted.call_off()
            self._logs.hurry()
            if isinstance(act, Release):
                self._pointer.release(generation, act.why)
            elif isinstance(act, End):
                self._pointer.end(generation, act.code, act.why)
                if act.code == 0:
                    self._environment.forget()

    # what follows from a change of the view, whatever caused it

    def follow(self, before: AgentView, after: AgentView, news: News) -> None:
        """Aims the tasks that look on their own, and frees the copies that nobody needs any more."""
        self._aim(after)
        old, new = before.assignment, after.assignment
        committed = isinstance(news, Committed) and isinstance(news.outcome, Applied)
        if isinstance(news, Uploaded) and new is not None and new.follows:
            committed = isinstance(news.outcome, Draft)  # what a node that follows can do for it is done
        for copy in unneeded(old, new, news):
            durable = committed and old is not None and copy is old.saving.under_way
            (self._finder.committed if durable else self._finder.drop)(copy)
        if new is None:
            return
        if new.fenced_why:
            self._wanted.call_off()
        if new.plan is not None:
            self._hurry.set()
            self._environment.end()
        elif self._hurry():
            self._hurry = Flag()
        same = old is not None and old.generation == new.generation
        if new.ready and not (same and old is not None and old.ready):
            self._prefetch.begin(new.work)
        stage_before = old.trainer.stage if same and old is not None else Stage.NONE
        if new.trainer.stage is Stage.ALIVE and stage_before is not Stage.ALIVE:
            if not new.follows or new.parts:
                self._finder.follow(new.generation)
            if not new.follows:
                self._outputs.follow(new.generation, new.work)
                self._environment.keep(new.work)
        self._environment.give_way(new.saving.uploading)
        if same and old is not None and new.trainer.progress.step != old.trainer.progress.step:
            self._finder.hint(new.trainer.progress.step)
        if new.over is not None and (not same or old is None or old.over is None):
            self._prefetch.end()
            self._environment.end()
            self._finder.leave()
            self._outputs.leave()

    def say(self, line: str) -> None:
        self._logs.say(line)

    def _aim(self, view: AgentView) -> None:
        assignment, me, past = view.assignment, None, view.past
        if self._aimed is not None and self._aimed[0] is assignment and self._aimed[1] is past:
            return  # the same values as last time
        self._aimed = (assignment, past)
        if assignment is not None and assignment.writer:
            if assignment.over is not None:
                past = (*past, WriterRef(assignment.generation, assignment.writer))
            elif assignment.claimed:
                me = writer_of(self._identity, assignment.generation, assignment.writer, assignment.attempt)
        elif assignment is not None and assignment.start is not None and assignment.over is None:
            # Who follows looks whether the writer of its first node owns the job.
            writer = assignment.start.writer
            me = writer_of(self._identity, assignment.generation, writer, assignment.attempt)
        self._aim_at_leader(assignment)
        target = Target(me, past)
        if target != self._target:
            self._target = target
            self._watchdog.aim(target)
        if assignment is not None:
            logs = LogTarget(assignment.generation, assignment.rank)
            if logs != self._log_target:
                self._log_target = logs
                self._logs.aim(logs)

    def _aim_at_leader(self, assignment: Assignment | None) -> None:
        leader: Leader | None = None
        if assignment is not None and assignment.start is not None and assignment.over is None:
            leader = Leader(assignment.generation, assignment.start.writer)
        if leader != self._leader:
            self._leader = leader
            self._leaders = self._leaders or self._new_leaders()
            self._leaders.aim(leader)


def unneeded(old: Assignment | None, new: Assignment | None, news: News) -> list[StableCopy]:
    """Copies that were held before, or came just now, and that nobody brings to the bucket."""
    found = [news.copy] if isinstance(news, SaveFound) else []
    if new is not old:
        found += _copies(old)
    kept = list(_copies(new)) if found else []
    return [copy for copy in found if all(copy is not one for one in kept)]


def _copies(assignment: Assignment | None) -> Iterator[StableCopy]:
    if assignment is None:
        return
    for copy in (assignment.saving.waiting, assignment.saving.under_way):
        if copy is not None:
            yield copy
