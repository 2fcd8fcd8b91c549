"""The task that brings the head to a node that waits for its turn, while the old node still works."""

from __future__ import annotations

from outlast.bucket.pointer import BadPointer, parse_pointer
from outlast.facts import RESTORE_PREFETCHED
from outlast.news import FactSeen
from outlast.node_ports import Workplace
from outlast.ports import Bucket, BucketError, Runtime
from outlast.protocol.messages import Work
from outlast.protocol.objects import POINTER_KEY, ManifestRef, Pointer
from outlast.restore import prefetch
from outlast.tasks.desk import Flag, Post
from outlast.view import Identity


class PrefetchTask:
    """Fetches whatever is the head, again and again, into the folder that the restore uses, never with it.

    It decides nothing: a failed prefetch means nothing, and what the claim wrote is restored.
    """

    def __init__(
        self,
        runtime: Runtime,
        bucket: Bucket,
        workplace: Workplace,
        identity: Identity,
        post: Post,
        every_s: float,
    ) -> None:
        """`every_s` 0: never."""
        self._runtime = runtime
        self._bucket = bucket
        self._workplace = workplace
        self._identity = identity
        self._post = post
        self._every_s = every_s
        self._inbox = runtime.mailbox()
        self._turn = runtime.mailbox()  # whoever holds what is in it may touch the folder
        self._turn.put(True)
        self._off = Flag()
        if every_s > 0:
            runtime.spawn("prefetch", self._run)

    # orders

    def begin(self, work: Work) -> None:
        self._off = Flag()
        self._inbox.put((work, self._off))

    def end(self) -> None:
        """What is under way stops soon."""
        self._off.set()
        self._inbox.put(())

    def take_turn(self) -> None:
        """Returns once nothing is under way, and nothing will be until `give_turn`."""
        if self._every_s > 0:
            self.end()
            self._turn.get(None)

    def give_turn(self) -> None:
        if self._every_s > 0:
            self._turn.put(True)

    # in the task

    def _run(self) -> None:
        work: Work | None = None
        off, done = self._off, None
        while True:
            order = self._inbox.get(None if work is None else self._every_s)
            if order is not None:
                work, off = order or (None, off)
                done = None
            if work is not None and not off() and self._turn.get(None):
                done = self._look(work, off, done)
                self._turn.put(True)

    def _look(self, work: Work, off: Flag, done: ManifestRef | None) -> ManifestRef | None:
        """The head that was fetched last."""
        pointer = self._pointer()
        if off() or pointer is None or pointer.head is None or pointer.head == done:
            return done
        line = prefetch(self._runtime, self._bucket, pointer, self._workplace.sink(work), cancelled=off)
        self._post(FactSeen(RESTORE_PREFETCHED, line))
        return pointer.head

    def _pointer(self) -> Pointer | None:
        try:
            body = self._bucket.get(POINTER_KEY).body
            return parse_pointer(body, self._identity.owner, self._identity.job)
        except (BucketError, BadPointer):
            return None  # the claim will say what is wrong with it
