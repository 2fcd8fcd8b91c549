"""Brings a stable copy into the bucket: hashed, in parallel, unchanged files by reference, resumable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from outlast.ports import Bucket, BucketError, Exists, Mailbox, Runtime, UploadCancelled
from outlast.protocol.objects import FileEntry, Manifest, ManifestRef, data_prefix
from outlast.save.bandwidth import Bandwidth
from outlast.save.hashing import Hashing, unchanged
from outlast.save.sources import SourceChanged
from outlast.save.types import Draft, StableCopy, StableFile

PARALLEL_MAX = 32

Progress = Callable[[int, int], None]  # bytes done, bytes in all
Cancelled = Callable[[], bool]


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Limits:
    """What holds an upload back. `hurry`: the machine is being taken, so no bandwidth is saved any more."""

    cancelled: Cancelled = _never
    bandwidth: Bandwidth | None = None
    hurry: Callable[[], bool] = _never

    def before_read(self, length: int) -> None:
        """Raises UploadCancelled."""
        self.before_look(length)
        if self.bandwidth is not None and length:
            self.bandwidth.wait(length, lambda: self.hurry() or self.cancelled())
            self.before_look(length)

    def before_look(self, length: int) -> None:
        """Of bytes that are read and not sent. Raises UploadCancelled."""
        del length
        if self.cancelled():
            raise UploadCancelled("the upload is not wanted any more")


def upload(
    bucket: Bucket,
    runtime: Runtime,
    copy: StableCopy,
    name: str,
    base: tuple[ManifestRef, Manifest] | None,
    progress: Progress,
    *,
    done: dict[str, FileEntry] | None = None,
    parallel: int = 1,
    limits: Limits | None = None,
) -> Draft:
    """All data of `copy` is durable under `checkpoints/<name>/` on return.

    `done` is filled as files finish: give the same one again, with the same name, to go on after an
    error. `parallel` files are sent at once, by tasks of `runtime`; with 1 all happens in this one.
    A file that the base has is read and compared, and named again when it is the same.
    Raises BucketError, SourceChanged (discard the copy), UploadCancelled, OSError.
    """
    entries = {} if done is None else done
    _check_paths(copy)
    own = data_prefix(name)
    for path in [path for path, entry in entries.items() if not entry.key.startswith(own)]:
        del entries[path]  # it names an object of a base that may be another one now
    job = _Job(bucket, own, {} if base is None else {f.path: f for f in base[1].files}, limits or Limits())
    todo = [file for file in copy.files if file.path not in entries]
    meter = _Meter(progress, copy.bytes, sum(entry.size for entry in entries.values()))
    if parallel <= 1 or len(todo) <= 1:
        for file in todo:
            entries[file.path] = job.send(file, lambda n, path=file.path: meter.at(path, n))  # type: ignore[misc]
            meter.at(file.path, file.source.size)
    else:
        _send_parallel(runtime, job, todo, entries, meter, min(parallel, PARALLEL_MAX, len(todo)))
    files = tuple(entries[file.path] for file in copy.files)
    named_again = any(not entry.key.startswith(own) for entry in files)
    return Draft(
        name=name,
        step=copy.step,
        kind=copy.kind,
        confidence=copy.confidence,
        files=files,
        base=base[0] if base is not None and named_again else None,
        final=copy.final,
        gate=copy.gate,
    )


class _Meter:
    """Adds up what the files report, and never reports less than before for one file."""

    def __init__(self, progress: Progress, total_bytes: int, before_bytes: int) -> None:
        self._progress = progress
        self._total_bytes = total_bytes
        self._before_bytes = before_bytes
        self._files: dict[str, int] = {}

    def at(self, path: str, done_bytes: int) -> None:
        self._files[path] = max(done_bytes, self._files.get(path, 0))
        self._progress(self._before_bytes + sum(self._files.values()), self._total_bytes)


@dataclass(frozen=True)
class _Job:
    bucket: Bucket
    own: str
    before: dict[str, FileEntry]
    limits: Limits

    def send(self, file: StableFile, wrote: Callable[[int], None]) -> FileEntry:
        source, before = file.source, self.before.get(file.path)
        self.limits.before_read(0)
        # Its writer's hash says without a look that it is another one; that it is the same is looked at.
        if before is not None and file.hash in ("", before.hash):
            if unchanged(source, before, self.limits.before_look):
                return replace(before, path=file.path)
            if file.hash:
                raise SourceChanged(f"{file.path} is not what was written: its hash is not {file.hash}")
        hashing = Hashing(source, self.limits.before_read)
        key = self.own + file.path
        try:
            self.bucket.upload(key, hashing, wrote)
        except Exists:
            # Nobody else writes under this name, and an interrupted upload leaves nothing: the reply to
            # an earlier try of ours was lost.
            wrote(source.size)
        entry = hashing.entry(file.path, key)
        if file.hash and entry.hash != file.hash:
            raise SourceChanged(f"{file.path} is not what was written: its hash is not {file.hash}")
        return entry


def _check_paths(copy: StableCopy) -> None:
    paths = [file.path for file in copy.files]
    for path in paths:
        if not path or path.startswith("/") or any(part in ("", ".", "..") for part in path.split("/")):
            raise ValueError(f"{path!r} can't be a file of a checkpoint: not a plain relative path")
    if len(set(paths)) != len(paths):
        raise ValueError("a checkpoint names one file twice")


@dataclass(frozen=True)
class _Sent:
    """What a worker puts into the mailbox: bytes so far, an entry, or the error that ended the file."""

    path: str
    done_bytes: int = 0
    entry: FileEntry | None = None
    error: BucketError | OSError | UploadCancelled | None = None


def _send_parallel(
    runtime: Runtime,
    job: _Job,
    todo: list[StableFile],
    entries: dict[str, FileEntry],
    meter: _Meter,
    workers: int,
) -> None:
    tasks, results = runtime.mailbox(), runtime.mailbox()
    for number in range(workers):
        runtime.spawn(f"upload-{number}", lambda: _work(job, tasks, results), gives_way=True)
    # The big ones first: a big one that begins last would be sent alone.
    waiting = sorted(todo, key=lambda file: (file.source.size, file.path))
    for _ in range(workers):
        tasks.put(waiting.pop())
    running, error = workers, None
    while running:
        sent = results.get(None)
        assert isinstance(sent, _Sent)
        if sent.entry is None and sent.error is None:
            meter.at(sent.path, sent.done_bytes)
            continue
        running -= 1
        if sent.entry is not None:
            entries[sent.path] = sent.entry
            meter.at(sent.path, sent.entry.size)
        error = error or sent.error
        if waiting and error is None:
            tasks.put(waiting.pop())
            running += 1
    for _ in range(workers):
        tasks.put(None)
    if error is not None:
        raise error


def _work(job: _Job, tasks: Mailbox, results: Mailbox) -> None:
    while True:
        file = tasks.get(None)
        if file is None:
            return
        assert isinstance(file, StableFile)
        path = file.path
        try:
            entry = job.send(file, lambda n, path=path: results.put(_Sent(path, n)))  # type: ignore[misc]
        except (BucketError, OSError, UploadCancelled) as error:
            results.put(_Sent(path, error=error))
        else:
            results.put(_Sent(path, entry=entry))
