"""A real framework trains under the agent's real watcher, copy, upload and restore, killed at random."""

from __future__ import annotations

import os
import random
import re
import shlex
import shutil
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path

from tests.agent.node.agent_kit import gone
from tests.servers.forking import Zygote, code_file

from outlast.bucket.client import open_bucket
from outlast.bucket.manifest import build_manifest, manifest_bytes, manifest_ref
from outlast.bucket.outcomes import Identity as Writer
from outlast.clock import SystemRuntime
from outlast.gang import Meeting
from outlast.launch import trainer_order
from outlast.node_ports import Places, SaveLook
from outlast.protocol.messages import Work
from outlast.protocol.objects import Manifest, ManifestRef, Pointer, PointerState, checkpoint_name
from outlast.restore import restore_chain
from outlast.save.gate import Gate
from outlast.save.saves import FolderSaves
from outlast.save.upload import upload
from outlast.save.watch import Watcher
from outlast.sink import FolderSink
from outlast.view import Identity, Resume
from outlast_orchestrator.jobfile.load import load_job_file, to_job

EXAMPLES = Path(__file__).parents[2] / "configs" / "examples"
STEP_S = 0.02
LOOK_EVERY_S = 0.01
LIFE_MAX_S = 0.8  # of training after its first save, before the kill
FRUITLESS_MAX = 2  # lives that may end before anything is durable, as all may on a busy machine
LIMIT_S = 120.0
ME = Writer("own", "j0b", 1, "w", "a1")


@dataclass(frozen=True)
class Durable:
    """What the bucket holds, newest last."""

    refs: tuple[ManifestRef, ...] = ()

    def pointer(self) -> Pointer | None:
        if not self.refs:
            return None
        head = self.refs[-1]
        return Pointer(1, ME.owner, ME.job, 1, ME.writer, (), 1, PointerState.RUNNING, head, self.refs, "")


class Node:
    """One example's job on one node at a time, with a bucket that outlives it."""

    def __init__(self, folder: Path, example: str, arguments: str, quiet_s: float, zygote: Zygote) -> None:
        self.life_max_s, self.limit_s = LIFE_MAX_S, LIMIT_S
        self.folder = folder
        self.zygote = zygote
        self.work_dir, self.root = folder / "work", folder / "work" / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        spec = load_job_file(EXAMPLES / f"{example}.yaml").spec
        job = to_job(spec, id=ME.job, name="x", owner=ME.owner, created_at=0.0, storage="")
        self.work: Work = replace(job.work, run=re.sub(r"--max_steps \d+", arguments, job.work.run))
        self.example, self.quiet_s = example, quiet_s
        (folder / "bucket").mkdir()
        self.bucket = open_bucket(f"file://{folder / 'bucket'}")
        self.runtime = SystemRuntime()
        self.durable = Durable()
        self.generation = 0
        self.told: list[str] = []
        self.resumed: list[int] = []

    def fresh(self) -> None:
        """Another machine: nothing but the code is there."""
        shutil.rmtree(self.work_dir, ignore_errors=True)
        shutil.rmtree(self.folder / "aside", ignore_errors=True)
        shutil.copytree(EXAMPLES / self.example, self.work_dir)

    def begin(self) -> tuple[FolderSaves, Resume]:
        """Restores the head and tidies, as an agent does before it starts a trainer."""
        self.generation += 1
        pointer, resume = self.durable.pointer(), Resume()
        watcher = Watcher(self.work.checkpoint, self.root)
        manifest: Manifest | None = None
        if pointer is not None:
            sink = FolderSink(
                self.folder / "restoring", lambda m: watcher.resume_path(m.step, m.kind), self.root
            )
            done = restore_chain(self.runtime, self.bucket, pointer, sink, lambda *_: None)
            assert done is not None
            assert not done.fell_back, done.why
            manifest = done.manifest
            path = watcher.resume_from(manifest.step, manifest.kind, [file.path for file in manifest.files])
            resume = Resume(str(path), manifest.step, done.ref, manifest)
        saves = FolderSaves(
            self.runtime, Gate(None), lambda _: self.root, self.folder / "staging", self.quiet_s
        )
        self.told += saves.begin(self.work, manifest, f"g{self.generation}")
        return saves, resume

    def start(self, resume: Resume, step_s: float) -> int:
        places = Places(str(self.work_dir), str(self.root), str(self.folder / "attempt"))
        order = trainer_order(
            Identity(ME.job, ME.owner, "i", "b"), self.work, self.generation, places, resume, Meeting()
        )
        argv = shlex.split(order.command)
        assert argv[0] == "python"
        env = {**order.env, "STEP_S": str(step_s)}
        return self.zygote.fork(argv[1:], env, self.work_dir, self.log)

    @property
    def log(self) -> Path:
        return self.folder / "trainer.log"

    def look(self, saves: FolderSaves, pid: int, look: SaveLook | None = None) -> bool:
        """One look at the folder; what it finds goes to the bucket. True: something is not complete yet."""
        seen = saves.scan(look or SaveLook(pids=(pid,)))
        self.told += seen.discarded
        copy = seen.copy
        if copy is not None:
            name = checkpoint_name(copy.step, self.generation, self.runtime.token(4))
            draft = upload(self.bucket, self.runtime, copy, name, None, lambda *_: None)
            before = self.durable.refs[-1] if self.durable.refs else None
            manifest = build_manifest(replace_generation(self.generation), draft, before, at="")
            ref = manifest_ref(manifest)
            self.bucket.create(ref.key, manifest_bytes(manifest))
            self.durable = Durable((*self.durable.refs, ref))
            saves.committed(copy)
            copy.drop()
        return seen.pending

    def may_be_killed(self) -> bool:
        return True

    def live(self, dice: random.Random | None) -> bool:
        """One life of the trainer; with dice it is killed. False: it ended by itself."""
        saves, resume = self.begin()
        self.resumed.append(resume.step or 0)
        pid = self.start(resume, 0.0 if dice is None else STEP_S)
        must = self.generation > FRUITLESS_MAX and not self.durable.refs
        plan = None if dice is None else _Moment(dice, self.root, self.life_max_s, must_commit=must)
        end_s, killed, before = time.monotonic() + self.limit_s, False, len(self.durable.refs)
        while not gone(pid):
            assert time.monotonic() < end_s, self.story()
            if (
                plan is not None
                and self.may_be_killed()
                and plan.come(committed=len(self.durable.refs) > before)
            ):
                killed = True
                os.killpg(pid, signal.SIGKILL)
                while not gone(pid):
                    time.sleep(LOOK_EVERY_S)
                break
            self.look(saves, pid)
            time.sleep(LOOK_EVERY_S)
        code = code_file(self.log)
        well = code.exists() and code.read_text() == "0"
        assert well or killed, self.story()
        for _ in range(2):
            self.look(saves, pid, SaveLook(exited_badly=not well, ended_well=well))
        return not well

    def story(self) -> str:
        log = self.log.read_text(errors="replace")[-4000:] if self.log.exists() else "no log"
        return "\n".join([f"resumed at {self.resumed}", *self.told[-20:], log])


class _Moment:
    """When to kill: at any time, or right after something in the folder was seen to change."""

    def __init__(self, dice: random.Random, root: Path, life_max_s: float, *, must_commit: bool) -> None:
        self._dice, self._root, self._must_commit = dice, root, must_commit
        self._before = self._shape()
        self._trains_s: float | None = None
        self._life_max_s, self._life_s = life_max_s, dice.uniform(0.0, life_max_s)
        self._in_a_save = dice.random() < 0.6
        self._after_a_commit = dice.random() < 0.5  # on a slow machine nothing else brings the job on

    def _shape(self) -> frozenset[tuple[str, int, int]]:
        found = set()
        for folder, _, files in os.walk(self._root):
            for name in files:
                try:
                    info = os.stat(f"{folder}/{name}")
                except FileNotFoundError:
                    continue
                found.add((f"{folder}/{name}", info.st_size, info.st_mtime_ns))
        return frozenset(found)

    def come(self, *, committed: bool) -> bool:
        now_s, shape = time.monotonic(), self._shape()
        changed, self._before = shape != self._before, shape
        if self._trains_s is None:
            if changed:
                self._trains_s = now_s  # its first save: from here on the moment counts
            return False
        trained_s = now_s - self._trains_s
        patient = self._must_commit or (self._after_a_commit and trained_s < self._life_max_s)
        if (patient and not committed) or trained_s < self._life_s:
            return False
        if self._in_a_save and not changed:
            return False
        time.sleep(self._dice.uniform(0.0, 0.015) if self._in_a_save else 0.0)
        return True


def replace_generation(generation: int) -> Writer:
    return replace(ME, generation=generation)
