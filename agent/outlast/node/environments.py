"""The job's environments on this node: brought from the bucket or made by `install`, and kept for others."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from outlast.bucket.environments import PACK_BYTES, BadEnvironment, drop_all, prune, read_record
from outlast.environment.bring import NotBrought, Progress, bring, find
from outlast.environment.ground import Ground, NoGround, digest_of, folder_name, look
from outlast.environment.keep import Keeping, Made, check_size
from outlast.environment.listing import Item, NotPackable, fingerprint, listing
from outlast.environment.venv import activated, interpreter, making
from outlast.facts import ENVIRONMENT_KEPT, ENVIRONMENT_REUSED, ENVIRONMENT_SKIPPED
from outlast.fetch import FetchCancelled
from outlast.node.commands import Commands
from outlast.node.home import Home, write_atomic
from outlast.node.secrets import inherited
from outlast.node_ports import Ear, NodeTrouble
from outlast.ports import Bucket, BucketError, Runtime, UploadCancelled
from outlast.protocol.codec import FormatError, dump, load
from outlast.protocol.messages import Work
from outlast.trainer_contract import ALL


@dataclass(frozen=True)
class Mark:
    """Says beside an environment's folder that it is whole. `as_made` "": nothing is kept from here."""

    install_s: float
    as_made: str  # fingerprint at the end of `install`: what was changed since is not kept
    why_not: str = ""  # in words, where a person should hear it


@dataclass(frozen=True)
class Ready:
    """The environment of the assignment at hand."""

    digest: str
    folder: Path
    mark: Path
    ground: Ground
    damaged: bool = False  # what the bucket has of it


class NodeEnvironments:
    """`prepare` belongs to the workplace's task, `keep` and `forget` to the environment's; only `_ready` is
    shared, and replaced as a whole."""

    def __init__(
        self,
        runtime: Runtime,
        home: Home,
        bucket: Bucket,
        commands: Commands,
        names: Collection[str] = (),
        pack_bytes: int = PACK_BYTES,
    ) -> None:
        """`names`: of this machine. A home that lies under one of them is found on no other machine."""
        self._runtime = runtime
        self._root = home.environments
        self._bucket = bucket
        self._commands = commands
        self._only_here = bool({name for name in names if name} & set(home.root.parts))
        self._pack_bytes = pack_bytes
        self._ready: Ready | None = None

    @property
    def folder(self) -> str:
        return str(self._ready.folder) if self._ready is not None else ""

    def python(self) -> str | None:
        """The trainer's interpreter, where it has an environment."""
        return str(interpreter(self._ready.folder)) if self._ready is not None else None

    # before the training

    def prepare(self, work: Work, cwd: Path, cancelled: Callable[[], bool], ear: Ear) -> str:
        """One line on what was done; "" for a job without. Raises NodeTrouble."""
        self._ready = None
        if not work.install.strip():
            return ""
        variables = inherited(ALL) | dict(work.env)
        try:
            python = _which(variables.get("PATH"))
            ready = self._place(work, look(python))
            if _read(ready.mark) is not None and ready.folder.is_dir():
                self._ready = ready
                return "the environment is here already"
            self._clear()
            line, damaged = self._bring(work, ready, cancelled, ear)
            if not line:
                ear.moved("install is running")
                line = self._install(work, ready, python, variables, cwd, cancelled)
        except NoGround as error:
            raise NodeTrouble("setup", f"install: {error}") from error
        except OSError as error:
            raise NodeTrouble("setup", f"this node's disk: {error}") from error
        self._ready = replace(ready, damaged=damaged)
        return line

    def _place(self, work: Work, ground: Ground) -> Ready:
        digest = digest_of(work, ground, str(self._root))
        return Ready(digest, self._root / folder_name(digest), self._root / f"{digest}.json", ground)

    def _clear(self) -> None:
        """Half of one, or that of an earlier revision: nobody uses them here any more. Marks go first."""
        self._root.mkdir(parents=True, exist_ok=True)
        for path in sorted(self._root.iterdir(), key=lambda path: path.is_dir()):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _bring(self, work: Work, ready: Ready, cancelled: Callable[[], bool], ear: Ear) -> tuple[str, bool]:
        """One line on what came, "" when it must be made here; and whether what is kept is damaged."""
        begun_s = self._runtime.monotonic_s()
        try:
            record = find(self._bucket, work.owner, ready.digest, ready.ground, str(self._root))
            if record is None:
                return "", False
            bring(
                self._runtime, self._bucket, record, ready.folder, cancelled, Progress(record, ear.moved)
            )  # fmt: skip
        except FetchCancelled as error:
            raise NodeTrouble("setup", "the restore of the environment was called off") from error
        except NotBrought as error:
            ear.fact(ENVIRONMENT_SKIPPED, f"the environment is made anew: {error}", {})
            return "", error.damaged
        write_atomic(ready.mark, dump(Mark(record.install_s, "")))
        took_s = self._runtime.monotonic_s() - begun_s
        saved_s = max(0.0, record.install_s - took_s)
        why = (
            f"{_amount(record.bytes, record.files)} in {took_s:.0f} s; install took {record.install_s:.0f} s"
        )
        ear.fact(ENVIRONMENT_REUSED, why, {"bytes": str(record.bytes), "saved_s": f"{saved_s:.1f}"})
        return f"the environment was brought in {took_s:.0f} s", False

    def _install(
        self,
        work: Work,
        ready: Ready,
        python: str,
        variables: dict[str, str],
        cwd: Path,
        cancelled: Callable[[], bool],
    ) -> str:
        begun_s = self._runtime.monotonic_s()
        make = making(python, ready.folder)
        if self._commands.run(f"{python} -m venv", make, variables, cwd, cancelled):
            what = "let setup install what it lacks, e.g. sudo apt-get install -y python3-venv"
            raise NodeTrouble("setup", f"{python} can't make a virtual environment: {what}")
        bare = _names(listing(ready.folder))
        shell = activated(variables, str(ready.folder))
        self._commands.must("install", work.install, shell, cwd, cancelled)
        took_s = self._runtime.monotonic_s() - begun_s
        write_atomic(ready.mark, dump(self._mark(ready.folder, bare, took_s)))
        return f"install done in {took_s:.0f} s"

    def _mark(self, folder: Path, bare: frozenset[str], took_s: float) -> Mark:
        try:
            items = listing(folder)
        except NotPackable as error:
            return Mark(took_s, "", str(error))
        if _names(items) == bare:
            return Mark(took_s, "")  # nothing was installed
        if self._only_here:
            return Mark(took_s, "", f"no other machine has a folder {self._root}")
        return Mark(took_s, fingerprint(items))

    # while it trains

    def keep(self, work: Work, busy: Callable[[], bool], off: Callable[[], bool], ear: Ear) -> None:
        ready = self._ready
        mark = _read(ready.mark) if ready is not None else None
        if ready is None or mark is None:
            return
        try:
            if mark.why_not:
                raise NotPackable(mark.why_not)
            if mark.as_made:
                self._keep(work, ready, mark, (busy, off), ear)
        except UploadCancelled:
            return  # the training ends; whoever comes next makes its own, and keeps it
        except (BucketError, OSError, NotPackable) as error:
            ear.fact(ENVIRONMENT_SKIPPED, f"the environment is not kept for other nodes: {error}", {})

    def _keep(
        self,
        work: Work,
        ready: Ready,
        mark: Mark,
        flags: tuple[Callable[[], bool], Callable[[], bool]],
        ear: Ear,
    ) -> None:
        damaged, begun_s = ready.damaged, self._runtime.monotonic_s()
        try:
            if read_record(self._bucket, work.owner, ready.digest) is not None and not damaged:
                return
        except BadEnvironment:
            damaged = True
        items = listing(ready.folder)
        if fingerprint(items) != mark.as_made:
            raise NotPackable("it was changed since install had ended")
        check_size(items)
        made_for = {**ready.ground.words(), "folder": str(self._root)}
        made = Made(work.owner, ready.digest, made_for, mark.install_s)
        keeping = Keeping(
            self._runtime, self._bucket, *flags, work.checkpoint.upload_mbps_max, self._pack_bytes
        )
        record = keeping.keep(made, ready.folder, items, anew=damaged)
        if record is None:
            return
        took_s = self._runtime.monotonic_s() - begun_s
        packed = f"{record.packed_bytes / 1e9:.1f} GB packed"
        why = f"{_amount(record.bytes, record.files)}, {packed}, in {took_s:.0f} s beside the training"
        ear.fact(ENVIRONMENT_KEPT, why, {"bytes": str(record.packed_bytes)})
        prune(self._bucket, record)

    def forget(self) -> None:
        with suppress(BucketError):  # what stays is of no use to anybody, and does no harm
            drop_all(self._bucket)


def _which(path: str | None) -> str:
    """The Python that a setup finds. Raises NoGround."""
    found = shutil.which("python3", path=path) or shutil.which("python", path=path)
    if found is None:
        raise NoGround("there is no python3 on this node; let setup install one")
    return found


def _read(mark: Path) -> Mark | None:
    try:
        return load(Mark, mark.read_bytes())
    except (OSError, FormatError):
        return None


def _names(items: list[Item]) -> frozenset[str]:
    return frozenset(item.path for item in items if not item.derived)


def _amount(size: int, files: int) -> str:
    return f"{size / 1e9:.1f} GB in {files} files"
