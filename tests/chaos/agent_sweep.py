"""Sweeps over the points of an agent's life: the scenarios, and what is done and looked at at each point."""

from __future__ import annotations

import fcntl
import json
import shutil
from dataclasses import asdict
from pathlib import Path

from tests.chaos import agent_checks as check
from tests.chaos.agent_points import Case, cases, first_and_last, phase_of, recorded, steady
from tests.chaos.agent_rig import Node, Rig, Strike

from outlast.bucket.manifest import BadManifest
from outlast.bucket.pointer import BadPointer
from outlast.ports import BucketError
from outlast.protocol.messages import Permission
from outlast.protocol.objects import PointerState

LITTER = Strike("pointer | replace latest.json | rename unfinished > latest.json | 4", "before")
UNDISTURBED_RUNS = 2
REACH_TRIES_MAX = 5
SCENARIOS = {
    "over": 2,  # claims over a closed attempt that left litter, restores, saves, prunes, is drained
    "first": 1,  # the job's first attempt, to its end with outputs
}


class Ground:
    """What all cases share: the bucket to start from, and the list of points. Made once for all workers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "cases.json").exists():
                self._make_template()
                found = [case for name in SCENARIOS for case in self._cases(name)]
                (folder / "cases.json").write_text(json.dumps([asdict(case) for case in found]))
        rows = json.loads((folder / "cases.json").read_text())
        self.cases = [Case(row["scenario"], Strike(**row["strike"]), row["in_place"]) for row in rows]

    def _make_template(self) -> None:
        """A bucket whose last writer died with a checkpoint uploaded and never listed."""
        for name in ("before", "template"):  # of a run that was broken off
            shutil.rmtree(self.folder / name, ignore_errors=True)
        rig = Rig(self.folder / "before")
        try:
            node = rig.node("before", 1, SAVES=4)
            node.told(Permission())
            node.start(LITTER)
            rig.until("the first attempt dies", node.struck)
        finally:
            rig.close()
        shutil.copytree(rig.bucket_folder, self.folder / "template")

    def _cases(self, scenario: str) -> list[Case]:
        records = []
        for number in range(UNDISTURBED_RUNS):
            rig, victim = self.victim(self.folder / f"{scenario}-{number}", scenario)
            try:
                victim.start()
                live(rig, victim)
                assert not victim.struck()
                records.append(recorded(victim.record))
            finally:
                rig.close()
        points = first_and_last(steady(records))
        if scenario == "first":  # what the other scenario has already is left out
            points = [p for p in points if phase_of(p[0]) == "outputs" or "latest.json" in p[0]]
        return cases(scenario, points)

    def victim(self, folder: Path, scenario: str) -> tuple[Rig, Node]:
        shutil.rmtree(folder, ignore_errors=True)
        first = scenario == "first"
        rig = Rig(folder, None if first else self.folder / "template")
        how = {"SAVES": 1, "LAST": "done"} if first else {"SAVES": 3, "LAST": "wait"}
        node = rig.node("victim", SCENARIOS[scenario], **how)
        node.told(rig.permission())
        return rig, node


def live(rig: Rig, node: Node) -> None:
    """Until the agent is struck, or has come to the end of its attempt."""
    drained = False

    def over() -> bool:
        nonlocal drained
        told = node.controller.reports[-1] if node.controller.reports else None
        if not drained and told and told.step and told.generation == 2 and _all_saved(rig, node):
            drained = True
            node.drain()
        return node.struck() or node.over()

    rig.until("the attempt ends, or the agent is struck", over)


def _all_saved(rig: Rig, node: Node) -> bool:
    pointer, began = rig.pointer(), rig.told(node.generation, "resumed")
    if pointer is None or pointer.head is None or not began:
        return False
    # What is pruned after the last save belongs to the life that is swept over.
    pruned = len(list(rig.bucket.list("manifests/"))) == len(pointer.kept)
    return pruned and pointer.head.step >= int(began[-1][0]) + 30


def strike(ground: Ground, folder: Path, case: Case) -> None:
    """One case from beginning to end. Raises AssertionError."""
    for _ in range(REACH_TRIES_MAX):  # the last of a kind of operation is not there in every life
        if _strike(ground, folder, case):
            return
    raise AssertionError(f"{case}: this point was never reached")


def _strike(ground: Ground, folder: Path, case: Case) -> bool:
    rig, victim = ground.victim(folder, case.scenario)
    try:
        victim.start(case.strike)
        live(rig, victim)
        if not victim.struck():
            return False
        check.returned_holds(rig, victim)
        check.closure(rig)
        if case.strike.deed == "stop":
            woken(rig, victim)
        else:
            killed(rig, victim, in_place=case.in_place)
    except (AssertionError, BadManifest, BadPointer, BucketError) as error:
        raise AssertionError(f"{case}: {error}\n\n{rig.story()}") from error
    finally:
        rig.close()
    shutil.rmtree(folder)
    return True


def killed(rig: Rig, victim: Node, *, in_place: bool) -> None:
    """The next attempt, on another node or on this one, goes on where the pointer says and tidies up."""
    check.trainers_dead(rig, victim.generation)
    name = "victim" if in_place else "next"
    node = rig.node(name, victim.generation + 1, SAVES=2, LAST="done")
    # In place the agent itself has to release what it finds of its earlier life.
    running = (p := rig.pointer()) is not None and p.generation == victim.generation
    node.told(rig.permission(closing=not (in_place and running)))
    if in_place:
        victim.controller.close()
        node.returns = rig.folder / "next.returns"
    node.start()
    ends(rig, node)
    check.resumed_well(rig, victim, node)
    assert check.unlisted(rig, node.generation) == []
    node.kill()
    assert check.unfinished(rig) == []
    if in_place:
        check.nothing_left_at(node.home)


def woken(rig: Rig, victim: Node) -> None:
    """Another attempt claims and saves while this one is frozen; awake, it must learn that it is over."""
    node = rig.node("next", victim.generation + 1, SAVES=2, LAST="hold")
    node.told(rig.permission())
    node.start()
    if holds_a_lock(rig):
        # Frozen between comparing and renaming: nobody gets past it, and that is said.
        rig.until("the successor says what it waits for", lambda: said(node, "does not let go"))
        victim.wake()
        rig.until("the frozen write took place", lambda: not holds_a_lock(rig))
        node.told(rig.permission())  # it may have been a claim: then that writer is the one to be closed
    rig.until("the successor has saved twice", lambda: saved_twice(rig, node) or done_before(rig, victim))
    if done_before(rig, victim):
        check.closure(rig)
        rig.until("the successor hears of the end", lambda: said(node, "only a restart may continue it"))
        return
    victim.wake()
    check.fenced(rig, victim)
    check.closure(rig)
    (rig.folder / "finish").touch()
    ends(rig, node)
    check.resumed_well(rig, victim, node)
    victim.kill()
    node.kill()
    check.collected_by_the_next(rig, node.generation + 1)
    assert check.unfinished(rig) == []


def ends(rig: Rig, node: Node) -> None:
    def ended() -> bool:
        assert not node.struck(), f"{node.name} died"
        return node.over()

    rig.until(f"{node.name} ends its attempt", ended)
    pointer = rig.pointer()
    assert pointer is not None
    assert (pointer.generation, pointer.state) == (node.generation, PointerState.ENDED), pointer
    assert pointer.exit_code == 0
    check.closure(rig)


def saved_twice(rig: Rig, node: Node) -> bool:
    pointer = rig.pointer()
    if pointer is None or pointer.generation != node.generation or pointer.head is None:
        return False
    start = pointer.started_from.step if pointer.started_from else 0
    return pointer.head.step >= start // 10 * 10 + 20


def done_before(rig: Rig, victim: Node) -> bool:
    """It was woken because it held a lock, and came to its end before the successor's next try to claim."""
    pointer = rig.pointer()
    return pointer is not None and (pointer.generation, pointer.state) == (
        victim.generation,
        PointerState.ENDED,
    )


def said(node: Node, words: str) -> bool:
    return any(words in report.why or words in report.save.trouble for report in node.controller.reports)


def holds_a_lock(rig: Rig) -> bool:
    """Somebody, and that can only be the frozen one, holds a lock of the bucket at this moment."""
    held = False
    for path in (rig.bucket_folder / ".outlast" / "locks").glob("*"):
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held = True
    return held
