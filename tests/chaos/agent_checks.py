"""What must hold of a bucket and its nodes, whatever befell an agent: each check says what is broken."""

from __future__ import annotations

from pathlib import Path

from tests.agent.node.agent_kit import JOB, OWNER, gone
from tests.chaos.agent_rig import Node, Rig

from outlast.bucket.client import open_bucket, scoped
from outlast.bucket.manifest import Hasher, read_manifest
from outlast.bucket.outcomes import Applied, Identity, Mine
from outlast.bucket.owner import PointerOwner
from outlast.clock import SystemRuntime
from outlast.ports import Bucket
from outlast.protocol.messages import AgentState
from outlast.protocol.objects import Pointer, PointerState, generation_of, job_prefix

OBJECTS_OF_ONE = 5  # four files and a manifest: what a writer can still have had in its hands


def named(bucket: Bucket, pointer: Pointer) -> set[str]:
    """Every object that `kept` needs; each was read, and is what the pointer says it is."""
    found: set[str] = set()
    for ref in pointer.kept:
        manifest = read_manifest(bucket, ref, OWNER, JOB)
        found.add(ref.key)
        for entry in manifest.files:
            found.add(entry.key)
            hasher, size = Hasher(), 0
            for chunk in bucket.stream(entry.key, 0, entry.size + 1):
                hasher.update(chunk)
                size += len(chunk)
            assert (size, hasher.text()) == (entry.size, entry.hash), (
                f"{entry.key} of {ref.name} is not whole"
            )
    return found


def closure(rig: Rig) -> set[str]:
    """All that `kept` names exists and verifies."""
    pointer = rig.pointer()
    return named(rig.bucket, pointer) if pointer is not None else set()


def returned_holds(rig: Rig, node: Node) -> None:
    """A write of the pointer that returned is never taken back."""
    told, now = node.last_return(), rig.pointer()
    if told is None:
        return
    assert now is not None, f"the pointer is gone after seq {told.seq} had returned"
    assert now.seq >= told.seq, f"the pointer went back to seq {now.seq}, {told.seq} had returned"
    if now.seq == told.seq:
        assert now == told


def resumed_well(rig: Rig, before: Node, after: Node) -> None:
    """The successor's trainer got what its claim wrote: whole, and not older than what had returned."""
    told, pointer = before.last_return(), rig.pointer()
    assert pointer is not None
    started = pointer.started_from
    rows = rig.told(after.generation, "resumed")
    if started is None:
        assert rig.told(after.generation, "began"), rig.story()
    else:
        assert rows[-1] == [str(started.step), "whole"], f"resumed {rows}, claimed from step {started.step}"
    if told is not None and told.head is not None:
        assert started is not None, f"began at 0 after step {told.head.step} had returned"
        assert started.step >= told.head.step, f"resumed {started.step} after {told.head.step} had returned"


def unlisted(rig: Rig, below: int) -> list[str]:
    """Objects of lower generations that no kept checkpoint needs."""
    keep = closure(rig)
    found = []
    for folder in ("manifests/", "checkpoints/"):
        for info in rig.bucket.list(folder):
            name = info.key.removeprefix(folder).split("/", 1)[0].removesuffix(".json")
            if info.key not in keep and generation_of(name) < below:
                found.append(info.key)
    return found


def unfinished(rig: Rig) -> list[str]:
    """Temp files that nobody has swept, after somebody wrote."""
    fresh = scoped(open_bucket(f"file://{rig.bucket_folder}"), job_prefix(JOB))
    fresh.put("status/checker.json", b"{}")  # the first write of a process sweeps what dead ones left
    return [path.name for path in (rig.bucket_folder / ".outlast" / "unfinished").iterdir()]


def nothing_left_at(home: Path) -> None:
    """A node that goes on in place after a kill collects what was left half done."""
    for name in ("staging", "restoring"):
        left = [path.name for path in (home / name).iterdir()] if (home / name).exists() else []
        assert left == [], f"{home / name} still holds {left}"
    litter = [path.name for path in home.rglob("*.new")]
    assert litter == [], f"{litter} in {home}"


def fenced(rig: Rig, node: Node) -> None:
    """A writer that was superseded while it slept learns of it, and its trainer is dead."""
    rig.until(f"{node.name} learns that it is superseded", node.over)
    told = node.last_return()
    closed_itself = told is not None and told.state is not PointerState.RUNNING
    allowed = {AgentState.FENCED} | ({AgentState.RELEASED, AgentState.ENDED} if closed_itself else set())
    assert node.state() in allowed, f"{node.name} is {node.state()}; its last write was {told}"
    trainers_dead(rig, node.generation)


def trainers_dead(rig: Rig, generation: int) -> None:
    rig.until(
        f"the trainer of generation {generation} is dead",
        lambda: all(gone(pid) for pid in rig.trainers(generation)),
    )


def collected_by_the_next(rig: Rig, generation: int) -> None:
    """The next attempt's first prune leaves nothing of lower generations that nobody needs."""
    left = unlisted(rig, generation)
    assert len(left) <= OBJECTS_OF_ONE, f"a single writer left {left}"
    me = Identity(OWNER, JOB, generation, f"w{generation}", "checker")
    owner = PointerOwner(SystemRuntime(), rig.bucket, me, lambda *_: None)
    assert isinstance(owner.claim(rig.permission()), Applied)
    assert isinstance(owner.prune(), Applied | Mine)
    owner.collect_garbage()
    assert unlisted(rig, generation) == []
