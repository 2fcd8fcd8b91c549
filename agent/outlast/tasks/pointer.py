"""The pointer's task: the only one that writes `latest.json`, through one PointerOwner for each attempt."""

from __future__ import annotations

from outlast.bucket.gang import gather
from outlast.bucket.outcomes import Applied, Fenced, Mine, Over, Rebase, Stop, Wait
from outlast.bucket.outcomes import Identity as Writer
from outlast.bucket.owner import PointerOwner
from outlast.news import ClaimAnswered, Closed, Committed, FactSeen, Incomplete, Pruned, Recovered, Trouble
from outlast.ports import Bucket, BucketError, Runtime
from outlast.protocol.messages import Peer, Permission, WriterRef
from outlast.protocol.objects import InstanceRef, ManifestRef
from outlast.save.types import Draft
from outlast.tasks.desk import Desk, Post, trouble
from outlast.view import Assignment, Identity

Answer = Applied | Mine | Wait | Over | Fenced | Stop | Trouble


def writer_of(
    identity: Identity, generation: int, writer: str, attempt: str, peers: tuple[Peer, ...] = ()
) -> Writer:
    instances: tuple[InstanceRef, ...] = ()
    if len(peers) > 1:
        instances = tuple(InstanceRef(identity.cloud, identity.region, peer.instance) for peer in peers)
    elif identity.instance_id:
        instances = (InstanceRef(identity.cloud, identity.region, identity.instance_id),)
    return Writer(identity.owner, identity.job, generation, writer, attempt, instances)


class PointerTask:
    """Orders come from the loop; each ends in exactly one piece of news."""

    def __init__(self, runtime: Runtime, bucket: Bucket, identity: Identity, post: Post) -> None:
        self._runtime = runtime
        self._bucket = bucket
        self._identity = identity
        self._post = post
        self._desk = Desk(runtime, "pointer")
        self._owner: PointerOwner | None = None
        self._me: Writer | None = None
        self._generation = 0
        self._collected = False

    # orders

    def claim(self, assignment: Assignment, permission: Permission) -> None:
        self._desk.give(lambda: self._claim(assignment, permission))

    def started(self, ref: ManifestRef, why: str) -> None:
        self._desk.give(lambda: self._mine().started(ref, why))

    def commit(self, generation: int, draft: Draft, parts: int = 0) -> None:
        """`parts`: of so many other nodes there must be a part before it is a checkpoint."""
        self._desk.give(lambda: self._commit(generation, draft, parts))

    def prune(self, generation: int) -> None:
        self._desk.give(lambda: self._prune(generation))

    def release(self, generation: int, why: str) -> None:
        self._desk.give(lambda: self._close(generation, None, why))

    def end(self, generation: int, code: int, why: str) -> None:
        self._desk.give(lambda: self._close(generation, code, why))

    def recover(self, writer: WriterRef, attempt: str) -> None:
        self._desk.give(lambda: self._recover(writer, attempt))

    # in the task

    def _mine(self) -> PointerOwner:
        assert self._owner is not None, "an order that needs a claim came before it"
        return self._owner

    def _fact(self, kind: str, why: str, data: dict[str, str]) -> None:
        self._post(FactSeen(kind, why, data))

    def _claim(self, assignment: Assignment, permission: Permission) -> None:
        if self._owner is None or self._generation != assignment.generation:
            self._generation = assignment.generation
            self._owner, self._collected = self._new_owner(assignment), False
        try:
            outcome = self._owner.claim(permission)
        except BucketError as error:
            self._post(ClaimAnswered(assignment.generation, trouble(error)))
            return
        assert isinstance(outcome, (Applied, Wait, Over, Fenced, Stop))
        self._post(ClaimAnswered(assignment.generation, outcome))

    def _new_owner(self, assignment: Assignment) -> PointerOwner:
        work, a = assignment.work, assignment
        self._me = writer_of(self._identity, a.generation, a.writer, a.attempt, a.peers)
        return PointerOwner(
            self._runtime,
            self._bucket,
            self._me,
            self._fact,
            keep=work.checkpoint.keep,
            world_size=assignment.world_size,
            revision=work.revision,
            code=work.code.removeprefix("code/"),
        )

    def _commit(self, generation: int, draft: Draft, parts: int) -> None:
        try:
            if parts:
                assert self._me is not None
                gathered = gather(self._bucket, self._me, draft, parts + 1)
                if gathered.missing or gathered.skipped:
                    self._post(Committed(generation, Incomplete(gathered.missing, gathered.skipped)))
                    return
                draft = gathered.draft
            outcome = self._mine().commit(draft)
        except BucketError as error:
            self._post(Committed(generation, trouble(error)))
            return
        self._post(Committed(generation, outcome))

    def _prune(self, generation: int) -> None:
        owner = self._mine()
        try:
            outcome = owner.prune()
            if not self._collected and isinstance(outcome, (Applied, Mine)):
                # Once an attempt: what lower generations left unlisted can be nobody's any more.
                owner.collect_garbage()
                self._collected = True
        except BucketError as error:
            self._post(Pruned(generation, trouble(error)))
            return
        self._post(Pruned(generation, _no_rebase(outcome)))

    def _close(self, generation: int, code: int | None, why: str) -> None:
        owner = self._mine()
        try:
            outcome = owner.release(why) if code is None else owner.end(code, why)
        except BucketError as error:
            self._post(Closed(generation, trouble(error)))
            return
        self._post(Closed(generation, _no_rebase(outcome)))

    def _recover(self, writer: WriterRef, attempt: str) -> None:
        """A writer of an earlier life: what it had finished counts, and then it is released."""
        me = writer_of(self._identity, writer.generation, writer.writer, attempt)
        owner = PointerOwner(self._runtime, self._bucket, me, self._fact)
        try:
            outcome = _no_rebase(owner.adopt())
            if isinstance(outcome, (Applied, Mine)):
                outcome = _no_rebase(owner.release("the agent was restarted; its trainer died with it"))
        except BucketError as error:
            self._post(Recovered(writer, trouble(error)))
            return
        self._post(Recovered(writer, outcome))


def _no_rebase(outcome: Applied | Mine | Wait | Over | Fenced | Stop | Rebase) -> Answer:
    """A checkpoint that can't be adopted on the head as it is now is no reason not to go on."""
    return Trouble(outcome.why) if isinstance(outcome, Rebase) else outcome
