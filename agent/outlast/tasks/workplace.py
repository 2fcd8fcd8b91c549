"""Preparing and restoring: the task that fetches code, runs the set-up and brings checkpoints back."""

from __future__ import annotations

from dataclasses import replace

from outlast.bucket.gang import read_start, write_start
from outlast.bucket.generations import read_pointer
from outlast.bucket.outputs import BadIndex, newest_index
from outlast.bucket.pointer import BadPointer
from outlast.gang import judge_join, start_of
from outlast.news import FactSeen, Joined, Prepared, PrepareMoved, Remembered, Restored, Trouble
from outlast.node_ports import Disk, Ear, NodeMemory, NodeTrouble, Outputs, Workplace
from outlast.ports import Bucket, BucketError, Runtime
from outlast.protocol.messages import Failure, Work
from outlast.protocol.objects import Manifest, Pointer
from outlast.restore import NothingRestorable, restore_chain
from outlast.tasks.desk import Desk, Flag, Post, trouble
from outlast.tasks.pointer import PointerTask
from outlast.tasks.prefetch import PrefetchTask
from outlast.view import Assignment, Identity, Resume

OUTPUT_CHUNK_BYTES = 1 << 20


class WorkplaceTask:
    def __init__(
        self,
        runtime: Runtime,
        bucket: Bucket,
        workplace: Workplace,
        outputs: Outputs,
        disk: Disk,
        pointer: PointerTask,
        prefetch: PrefetchTask,
        post: Post,
        job: str,
    ) -> None:
        self._job = job
        self._runtime = runtime
        self._bucket = bucket
        self._workplace = workplace
        self._outputs = outputs
        self._disk = disk
        self._pointer = pointer
        self._prefetch = prefetch
        self._post = post
        self._desk = Desk(runtime, "workplace")

    # orders

    def prepare(self, assignment: Assignment, off: Flag) -> None:
        self._desk.give(lambda: self._prepare(assignment, off))

    def join(self, assignment: Assignment, writer: Identity) -> None:
        self._desk.give(lambda: self._join(assignment, writer))

    def remember(self, generation: int, memory: NodeMemory) -> None:
        self._desk.give(lambda: self._remember(generation, memory))

    def restore(self, assignment: Assignment, pointer: Pointer) -> None:
        self._desk.give(lambda: self._restore(assignment, pointer))

    # in the task

    def _fact(self, kind: str, why: str, data: dict[str, str]) -> None:
        self._post(FactSeen(kind, why, data))

    def _prepare(self, assignment: Assignment, off: Flag) -> None:
        def moved(line: str) -> None:
            self._post(PrepareMoved(assignment.generation, line))

        try:
            line = self._workplace.prepare(assignment.work, off, Ear(self._fact, moved))
        except NodeTrouble as error:
            failure = Failure(error.phase, str(error), fatal=error.fatal, tail=error.tail)
            self._post(Prepared(assignment.generation, failure))
        except BucketError as error:
            self._post(Prepared(assignment.generation, trouble(error)))
        else:
            self._post(Prepared(assignment.generation, line))

    def _remember(self, generation: int, memory: NodeMemory) -> None:
        try:
            self._disk.save(memory)
        except NodeTrouble as error:
            self._post(Remembered(generation, memory.writer, Failure(error.phase, str(error))))
        else:
            self._post(Remembered(generation, memory.writer))

    def _join(self, assignment: Assignment, me: Identity) -> None:
        """Whether the first node has claimed, and has restored what all start from."""
        generation = assignment.generation
        try:
            start = read_start(self._bucket, generation)
            found = read_pointer(self._bucket, None, me.job)
            pointer = found[0] if found is not None else None
            self._post(Joined(generation, judge_join(pointer, generation, start)))
        except BadPointer as error:
            self._post(Joined(generation, Trouble(str(error), lasting=True)))
        except BucketError as error:
            self._post(Joined(generation, trouble(error)))

    def _restore(self, assignment: Assignment, pointer: Pointer) -> None:
        self._prefetch.take_turn()
        self._restore_alone(assignment, pointer)
        self._prefetch.give_turn()

    def _restore_alone(self, assignment: Assignment, pointer: Pointer) -> None:
        """What the claim wrote, or the newest of its parents that verifies; then the outputs."""
        work, follows = assignment.work, assignment.follows
        try:
            done = restore_chain(self._runtime, self._bucket, pointer, self._workplace.sink(work), self._fact)
            if not follows:
                self._bring_outputs_back(assignment)
            if assignment.world_size > 1 and not follows:
                ref = None if done is None else done.ref
                resumed = replace(assignment, resume=Resume(ref=ref))
                if not write_start(self._bucket, start_of(self._job, resumed)):
                    raise NodeTrouble("restore", "the other nodes were told of another start: begun anew")
        except NothingRestorable as error:
            # Steps were durable, so beginning at 0 would throw them away: a person has to look. (A node that
            # follows can't judge that: the first one has restored the very same.)
            self._post(Restored(assignment.generation, Failure("restore", str(error), fatal=not follows)))
        except NodeTrouble as error:
            self._post(Restored(assignment.generation, Failure("restore", str(error), tail=error.tail)))
        except OSError as error:
            self._post(Restored(assignment.generation, Failure("restore", f"this node's disk: {error}")))
        except BucketError as error:
            self._post(Restored(assignment.generation, trouble(error)))
        else:
            if done is None:
                self._post(Restored(assignment.generation, Resume()))
                return
            if done.fell_back:
                self._pointer.started(done.ref, done.why)
            path = self._workplace.resume_from(work, done.manifest)
            self._post(Restored(assignment.generation, Resume(path, done.ref.step, done.ref, done.manifest)))
            self._settle(work, done.manifest)

    def _settle(self, work: Work, manifest: Manifest) -> None:
        """The trainer begins from the memory that the files are cached in; the disk has time until now."""
        try:
            self._workplace.sink(work).settle(manifest)
        except OSError as error:
            self._fact("tell", f"this node's disk did not take all of what was restored: {error}", {})

    def _bring_outputs_back(self, assignment: Assignment) -> None:
        """What earlier attempts left (curves, tables), so that the trainer can go on with it."""
        if not assignment.work.outputs:
            return
        try:
            index = newest_index(self._bucket)
        except BadIndex as error:
            self._fact("tell", f"the outputs of earlier attempts can't be brought back: {error}", {})
            return
        for entry in index.files if index is not None else ():
            if not self._outputs.has(entry.path, entry.size, entry.hash):
                self._outputs.write(entry.path, self._bucket.stream(entry.key, 0, entry.size))
