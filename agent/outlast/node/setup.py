"""The job's folder on the node: fetches and unpacks the code, sets the node up once, receives checkpoints."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import zstandard

from outlast.clock import SystemRuntime
from outlast.node.commands import Commands
from outlast.node.environments import NodeEnvironments
from outlast.node.home import Home, write_atomic
from outlast.node.logs import FileLog
from outlast.node.secrets import SecretBox, inherited
from outlast.node_ports import DEAF, Ear, NodeTrouble, Places
from outlast.ports import Bucket
from outlast.protocol.messages import Work
from outlast.protocol.objects import Manifest
from outlast.restore import FolderSink, Sink
from outlast.save.places import beside
from outlast.save.watch import Watcher
from outlast.trainer_contract import ALL

COPY_BYTES = 1 << 20


class NodeWorkplace:
    """The port `Workplace` over a home and the job's bucket."""

    def __init__(
        self,
        home: Home,
        bucket: Bucket,
        log: FileLog,
        secrets: SecretBox | None = None,
        environments: NodeEnvironments | None = None,
    ) -> None:
        self._home = home
        self._secrets = secrets or SecretBox()
        self._bucket = bucket
        self._log = log
        self._commands = Commands(home, log)
        self._environments = environments or NodeEnvironments(SystemRuntime(), home, bucket, self._commands)
        self._current = home.work

    def current(self) -> Path:
        """The working folder of the assignment at hand: outputs are relative to it."""
        return self._current

    def prepare(self, work: Work, cancelled: Callable[[], bool], ear: Ear = DEAF) -> str:
        folder = self._current = self._home.work_dir(work.code)
        try:
            code = self._unpack(work, folder)
            self._checkpoint_dir(work).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NodeTrouble("code", f"the code can't be unpacked into {folder}: {error}") from error
        done = self._setup(work, folder, cancelled)
        if made := self._environments.prepare(work, folder, cancelled, ear):
            done = f"{done}; {made}"
        self._secrets.bring(work.secrets)
        self._log.hide(self._secrets.hidden())
        return f"{code}; {done}"

    def places(self, work: Work, generation: int) -> Places:
        return Places(
            work_dir=str(self._home.work_dir(work.code)),
            checkpoint_dir=str(self._checkpoint_dir(work)),
            attempt_dir=str(self._home.attempt_dir(generation)),
            environment=self._environments.folder if work.install.strip() else "",
        )

    def sink(self, work: Work) -> Sink:
        root = self._checkpoint_dir(work)
        watcher = Watcher(work.checkpoint, root)
        arrives = beside(root, self._home.restoring, "restoring")
        return FolderSink(arrives, lambda manifest: watcher.resume_path(manifest.step, manifest.kind), root)

    def resume_from(self, work: Work, manifest: Manifest) -> str:
        watcher = Watcher(work.checkpoint, self._checkpoint_dir(work))
        paths = [file.path for file in manifest.files]
        return str(watcher.resume_from(manifest.step, manifest.kind, paths))

    def _checkpoint_dir(self, work: Work) -> Path:
        return self._home.work_dir(work.code) / work.checkpoint.dir

    # code

    def _unpack(self, work: Work, folder: Path) -> str:
        if not work.code:
            folder.mkdir(parents=True, exist_ok=True)
            return "no code"
        if folder.is_dir():
            return "the code is here already"
        digest = work.code.removeprefix("code/")
        temp = folder.with_name(f".{folder.name}.new")
        shutil.rmtree(temp, ignore_errors=True)
        temp.mkdir(parents=True)
        packed = temp.with_suffix(".tar")
        try:
            with packed.open("w+b") as tar:
                self._fetch(work.code, digest, tar)
                tar.seek(0)
                _extract(tar, temp, work.code)
        finally:
            packed.unlink(missing_ok=True)
        os.replace(temp, folder)
        return f"code {digest[:12]} unpacked"

    def _fetch(self, key: str, digest: str, tar: BinaryIO) -> None:
        """The hash is that of the tar itself, so that another compressor gives the same name."""
        sizes = [info.size for info in self._bucket.list(key) if info.key == key]
        if not sizes:
            raise _bad(f"the packed code {key} is not in the bucket")
        hasher = hashlib.sha256()
        opened = zstandard.ZstdDecompressor().decompressobj()
        try:
            for chunk in self._bucket.stream(key, 0, sizes[0]):
                data = opened.decompress(chunk)
                hasher.update(data)
                tar.write(data)
        except zstandard.ZstdError as error:
            raise _bad(f"{key} is damaged: {error}") from error
        if hasher.hexdigest() != digest:
            raise _bad(f"{key} does not hash to its name")

    # set-up

    def _setup(self, work: Work, folder: Path, cancelled: Callable[[], bool]) -> str:
        if not work.setup.strip():
            return "no set-up"
        done = self._home.setups / hashlib.sha256(f"{work.code}\n{work.setup}".encode()).hexdigest()
        if done.exists():
            return "the set-up was done on this node before"
        self._commands.must("setup", work.setup, inherited(ALL) | dict(work.env), folder, cancelled)
        try:
            write_atomic(done, b"")
        except OSError as error:
            raise NodeTrouble("setup", f"this node's disk: {error}") from error
        return "set-up done"


def _bad(what: str) -> NodeTrouble:
    """The same everywhere: another node would unpack the same bytes."""
    return NodeTrouble("code", f"{what}; submit the job again", fatal=True)


def _extract(tar: BinaryIO, folder: Path, key: str) -> None:
    """Only what a packer of ours writes: plain files, empty folders, links that stay inside."""
    links: set[PurePosixPath] = set()
    with tarfile.open(fileobj=tar, mode="r:") as archive:
        for member in _members(archive, key):
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts or links.intersection(path.parents):
                raise _bad(f"{key} holds {member.name!r}, which leads out of the folder")
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if member.isdir():
                target.mkdir(exist_ok=True)
            elif member.issym():
                inside = os.path.normpath(path.parent / member.linkname)
                if os.path.isabs(member.linkname) or inside.startswith(".."):
                    raise _bad(f"{key}: the link {member.name!r} leads outside")
                target.symlink_to(member.linkname)
                links.add(path)
            elif member.isreg() and (source := archive.extractfile(member)) is not None:
                with target.open("xb") as file:
                    shutil.copyfileobj(source, file, COPY_BYTES)
                target.chmod(member.mode & 0o777)
            else:
                raise _bad(f"{key} holds {member.name!r}, which is no plain file")


def _members(archive: tarfile.TarFile, key: str) -> Iterator[tarfile.TarInfo]:
    try:
        yield from archive
    except tarfile.TarError as error:
        raise _bad(f"{key} is damaged: {error}") from error
