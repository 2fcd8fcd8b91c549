"""The outputs' task: uploads what changed while training runs, and verifies all of it at the end."""

from __future__ import annotations

from outlast.bucket.manifest import Hasher
from outlast.bucket.outputs import (
    FORMAT,
    OBJECTS,
    BadIndex,
    OutputEntry,
    OutputIndex,
    newest_index,
    object_key,
    write_index,
)
from outlast.cadence import retry_in_s
from outlast.news import OutputsFinished
from outlast.node_ports import NodeTrouble, OutputFile, Outputs
from outlast.ports import Bucket, BucketError, Exists, Runtime, Source
from outlast.protocol.messages import Work
from outlast.tasks.desk import Flag, Post, trouble

HASH_CHUNK_BYTES = 4 << 20


class OutputsTask:
    def __init__(
        self, runtime: Runtime, bucket: Bucket, outputs: Outputs, post: Post, every_s: float
    ) -> None:
        self._runtime = runtime
        self._bucket = bucket
        self._outputs = outputs
        self._post = post
        self._every_s = every_s
        self._inbox = runtime.mailbox()
        self._generation: int | None = None
        self._patterns: tuple[str, ...] = ()
        self._known: dict[str, OutputEntry] = {}  # by path
        self._stamps: dict[str, str] = {}
        runtime.spawn("outputs", self._run, gives_way=True)

    # orders

    def follow(self, generation: int, work: Work) -> None:
        self._inbox.put(lambda: self._follow(generation, work))

    def leave(self) -> None:
        self._inbox.put(self._leave)

    def finish(self, generation: int, work: Work, off: Flag) -> None:
        self._inbox.put(lambda: self._finish(generation, work, off))

    # in the task

    def _run(self) -> None:
        while True:
            idle = self._generation is None or not self._patterns
            order = self._inbox.get(None if idle else self._every_s)
            if order is not None:
                order()
            elif self._generation is not None:
                self._while_running(self._generation)

    def _follow(self, generation: int, work: Work) -> None:
        self._generation, self._patterns = generation, work.outputs
        self._known, self._stamps = {}, {}

    def _leave(self) -> None:
        self._generation = None

    def _while_running(self, generation: int) -> None:
        """Never more than an attempt: what fails now is tried at the next round."""
        try:
            if self._ship(quiet=True):
                write_index(self._bucket, self._index(generation, complete=False))
        except (BucketError, NodeTrouble, OSError):
            self._stamps.clear()

    def _finish(self, generation: int, work: Work, off: Flag) -> None:
        """For ever, until all is in the bucket and was seen there, or the loop calls it off."""
        self._generation, self._patterns = generation, work.outputs
        tries = 0
        while not off():
            try:
                line = self._finish_once(generation)
            except (BucketError, NodeTrouble, OSError) as error:
                tries += 1
                why = error if isinstance(error, (BucketError, OSError)) else OSError(str(error))
                self._post(OutputsFinished(generation, trouble(why)))
                self._runtime.sleep(retry_in_s(tries))
                continue
            self._generation = None
            self._post(OutputsFinished(generation, line))
            return

    def _finish_once(self, generation: int) -> str:
        if not self._patterns:
            return "the job names no outputs"
        self._stamps.clear()
        self._ship(quiet=False)
        there = {info.key: info.size for info in self._bucket.list(OBJECTS)}
        for entry in self._known.values():
            if there.get(entry.key) != entry.size:
                self._stamps.pop(entry.path, None)
                raise OSError(f"output {entry.path} is not whole in the bucket ({entry.key})")
        index = self._index(generation, complete=True)
        write_index(self._bucket, index)
        try:
            seen = newest_index(self._bucket)
        except BadIndex as error:
            raise OSError(str(error)) from error
        if seen != index:
            raise OSError("the index of outputs does not read back as it was written")
        return f"{len(index.files)} files, {sum(f.size for f in index.files)} bytes, verified in the bucket"

    def _ship(self, *, quiet: bool) -> bool:
        """Uploads what changed; True when something did."""
        changed = False
        for file in self._outputs.scan(self._patterns, quiet=quiet):
            if self._stamps.get(file.path) == file.stamp:
                continue
            changed = True
            self._known[file.path] = self._send(file)
            self._stamps[file.path] = file.stamp
        return changed

    def _send(self, file: OutputFile) -> OutputEntry:
        """The name is the content's hash: an object that is there already is the same one."""
        digest = _hash(file.source)
        key = object_key(digest)
        sizes = [info.size for info in self._bucket.list(key) if info.key == key]
        if sizes != [file.size]:
            try:
                self._bucket.upload(key, file.source, lambda _bytes: None)
            except Exists:
                return OutputEntry(file.path, key, file.size, digest)
        return OutputEntry(file.path, key, file.size, digest)

    def _index(self, generation: int, *, complete: bool) -> OutputIndex:
        files = tuple(self._known[path] for path in sorted(self._known))
        return OutputIndex(FORMAT, generation, files, complete)


def _hash(source: Source) -> str:
    hasher = Hasher()
    for offset in range(0, source.size, HASH_CHUNK_BYTES):
        hasher.update(source.read(offset, min(HASH_CHUNK_BYTES, source.size - offset)))
    return hasher.text()
