"""Two tasks for saves: one finds them in the trainer's folder, the other brings them into the bucket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from outlast.bucket.gang import part_of, put_part, skip_of
from outlast.bucket.manifest import BadManifest, read_manifest
from outlast.bucket.outcomes import Identity as Writer
from outlast.facts import TELL
from outlast.news import (
    FactSeen,
    PartLeftOut,
    SaveFound,
    SaveQuarantined,
    SaveUnusable,
    Settled,
    Uploaded,
    UploadMoved,
)
from outlast.node_ports import NodeTrouble, SaveLook, Saves, Trainer
from outlast.ports import Bucket, BucketError, Runtime, UploadCancelled
from outlast.protocol.objects import FileEntry, Manifest, ManifestRef, checkpoint_name
from outlast.save.bandwidth import Bandwidth
from outlast.save.sources import SourceChanged
from outlast.save.types import Draft, StableCopy
from outlast.save.upload import Limits, upload
from outlast.tasks.desk import Desk, Flag, Post, trouble
from outlast.view import Assignment, Identity

LAST_LOOKS_MAX = 2  # after a bad exit: what is not complete by then never will be
NONCE_BYTES = 4
PARALLEL = 4  # files at once; nothing of them is held in memory
MOVED_EVERY_BYTES = 8 << 20
READ_TRIES_MAX = 3


class FinderTask:
    """Looks at the folder while a trainer lives, and once more after it is dead."""

    def __init__(
        self, runtime: Runtime, saves: Saves, trainer: Trainer, post: Post, scan_every_s: float
    ) -> None:
        self._runtime = runtime
        self._saves = saves
        self._trainer = trainer
        self._post = post
        self._scan_every_s = scan_every_s
        self._inbox = runtime.mailbox()
        self._generation: int | None = None
        self._step: int | None = None
        runtime.spawn("finder", self._run, gives_way=True)

    # orders

    def follow(self, generation: int) -> None:
        """A trainer was started."""
        self._inbox.put(lambda: self._follow(generation))

    def hint(self, step: int | None) -> None:
        """The trainer's step, for checkpoints without a number in their name."""
        self._inbox.put(lambda: self._hint(step))

    def settle(self, generation: int, code: int, *, by_itself: bool) -> None:
        self._inbox.put(lambda: self._settle(generation, code, by_itself))

    def leave(self) -> None:
        self._inbox.put(lambda: self._follow(None))

    def committed(self, copy: StableCopy) -> None:
        self._inbox.put(lambda: self._committed(copy))

    def drop(self, copy: StableCopy) -> None:
        self._inbox.put(copy.drop)

    # in the task

    def _run(self) -> None:
        """Orders as they come, and a look whenever one is due: a stream of hints must not put it off."""
        next_s = 0.0
        while True:
            wait_s = None if self._generation is None else max(0.0, next_s - self._runtime.monotonic_s())
            order = self._inbox.get(wait_s)
            if order is not None:
                order()
            if self._generation is not None and self._runtime.monotonic_s() >= next_s:
                self._scan(self._generation, SaveLook(pids=_Tree(self._trainer), step=self._step))
                next_s = self._runtime.monotonic_s() + self._scan_every_s

    def _follow(self, generation: int | None) -> None:
        self._generation, self._step = generation, None

    def _hint(self, step: int | None) -> None:
        self._step = step

    def _committed(self, copy: StableCopy) -> None:
        self._saves.committed(copy)
        copy.drop()

    def _settle(self, generation: int, code: int, by_itself: bool) -> None:
        """One look is enough when nobody writes any more; a torn save never becomes whole."""
        well = code == 0 and by_itself
        for _ in range(1 if well else LAST_LOOKS_MAX):
            look = SaveLook(exited_badly=not well, ended_well=well, step=self._step)
            if not self._scan(generation, look):
                break
            self._runtime.sleep(self._scan_every_s)
        self._generation = None
        self._post(Settled(generation))

    def _scan(self, generation: int, look: SaveLook) -> bool:
        """True: something is there that is not complete yet."""
        try:
            seen = self._saves.scan(look)
        except NodeTrouble as error:
            self._post(SaveUnusable(generation, str(error)))
            return False
        for why in seen.warnings:
            self._post(FactSeen(TELL, why))
        for why in seen.discarded:
            self._post(SaveUnusable(generation, why))
        if seen.copy is not None:
            age_s = self._age_s(seen.copy.begun_at)
            self._post(SaveFound(generation, seen.copy, age_s, seen.disk_free))
        for one in seen.quarantined:
            self._post(SaveQuarantined(generation, one.step, one.why, self._age_s(one.begun_at)))
        return seen.pending

    def _age_s(self, begun_at: float) -> float:
        return max(0.0, self._runtime.wall_s() - begun_at) if begun_at else 0.0


@dataclass(frozen=True)
class _Tree:
    """The trainer's processes, found when needed: a big machine has thousands, and most looks need none."""

    trainer: Trainer

    def __iter__(self) -> Iterator[int]:
        return iter(self.trainer.pids())


@dataclass(frozen=True)
class Partner:
    """A node whose upload is its part of a gang's checkpoint. `skips`: a step that it has left out."""

    me: Writer
    rank: int
    skips: int | None

    @classmethod
    def of(cls, identity: Identity, assignment: Assignment, skips: int | None) -> Partner:
        generation, attempt = assignment.generation, assignment.attempt
        return cls(Writer(identity.owner, identity.job, generation, "", attempt), assignment.rank, skips)


class ShipperTask:
    """Uploads one copy at a time. A retry of the same copy goes on where the last try stopped."""

    def __init__(self, runtime: Runtime, bucket: Bucket, identity: Identity, post: Post) -> None:
        self._runtime = runtime
        self._bucket = bucket
        self._identity = identity
        self._post = post
        self._desk = Desk(runtime, "shipper", gives_way=True)
        self._copy: StableCopy | None = None
        self._name = ""
        self._done: dict[str, FileEntry] = {}
        self._reads = 0  # failed ones, of this copy
        self._base: tuple[ManifestRef, Manifest] | None = None

    def upload(
        self,
        generation: int,
        copy: StableCopy,
        base: ManifestRef | None,
        off: Flag,
        *,
        mbps_max: float | None = None,
        hurry: Flag | None = None,
        partner: Partner | None = None,
    ) -> None:
        """`hurry` is set when the machine is being taken: then `mbps_max` does not hold any more.

        `partner`: it is this node's part of a gang's checkpoint. Then nothing of a base is named again: who
        follows can't know the head by then.
        """
        bandwidth = None if mbps_max is None else Bandwidth(self._runtime, mbps_max)
        limits = Limits(off, bandwidth, hurry or Flag())
        self._desk.give(lambda: self._upload(generation, copy, base, limits, partner))

    def leave_out(self, generation: int, partner: Partner) -> None:
        self._desk.give(lambda: self._leave_out(generation, partner))

    def _leave_out(self, generation: int, partner: Partner) -> None:
        assert partner.skips is not None
        try:
            self._skip(generation, partner, partner.skips)
        except BucketError as error:
            self._post(PartLeftOut(generation, partner.skips, trouble(error)))
        else:
            self._post(PartLeftOut(generation, partner.skips, None))

    def _skip(self, generation: int, partner: Partner, step: int) -> None:
        name = checkpoint_name(step, generation, self._runtime.token(NONCE_BYTES))
        put_part(self._bucket, skip_of(partner.me, partner.rank, step, name))

    def _part(self, generation: int, partner: Partner, draft: Draft) -> None:
        if partner.skips is not None:
            self._skip(generation, partner, partner.skips)
        put_part(self._bucket, part_of(partner.me, partner.rank, draft))

    def _upload(
        self,
        generation: int,
        copy: StableCopy,
        base: ManifestRef | None,
        limits: Limits,
        partner: Partner | None,
    ) -> None:
        if copy is not self._copy:
            self._copy, self._done, self._reads = copy, {}, 0
            self._name = checkpoint_name(copy.step, generation, self._runtime.token(NONCE_BYTES))
        told_bytes = 0

        def progress(done_bytes: int, _all_bytes: int) -> None:
            nonlocal told_bytes
            if done_bytes - told_bytes >= MOVED_EVERY_BYTES:
                told_bytes = done_bytes
                self._post(UploadMoved(generation, done_bytes))

        try:
            draft = upload(
                self._bucket,
                self._runtime,
                copy,
                self._name,
                self._known_base(base),
                progress,
                done=self._done,
                parallel=PARALLEL if copy.mapped else 1,
                limits=limits,
            )
            if partner is not None:
                self._part(generation, partner, draft)
        except UploadCancelled as error:
            self._copy = None
            self._post(Uploaded(generation, None, str(error)))
        except SourceChanged as error:
            self._copy = None
            self._post(Uploaded(generation, None, f"step {copy.step} changed under the upload: {error}"))
        except OSError as error:
            self._unreadable(generation, copy, error)
        except BucketError as error:
            self._post(Uploaded(generation, trouble(error)))
        else:
            # If it is asked for again, its commit was refused as it is: then under a new name.
            self._copy = None
            self._post(Uploaded(generation, draft))

    def _unreadable(self, generation: int, copy: StableCopy, error: OSError) -> None:
        """This node's disk does not give the copy back: given up after a few tries, for a newer one waits."""
        self._reads += 1
        if self._reads < READ_TRIES_MAX:
            self._post(Uploaded(generation, trouble(error)))
            return
        self._copy = None
        self._post(Uploaded(generation, None, f"step {copy.step} can't be read any more: {error}"))

    def _known_base(self, ref: ManifestRef | None) -> tuple[ManifestRef, Manifest] | None:
        """The manifest whose unchanged files may be named again. Without it all files are sent."""
        if ref is None:
            return None
        if self._base is None or self._base[0] != ref:
            self._base = None
            try:
                manifest = read_manifest(self._bucket, ref, self._identity.owner, self._identity.job)
            except BadManifest:
                return None
            self._base = (ref, manifest)
        return self._base
