"""Disks that are full, fail, write short or are read-only, under a real agent: told, survived, mended."""

from __future__ import annotations

import errno
import re
import resource
from pathlib import Path

import pytest
from tests.agent.node.agent_kit import gone
from tests.chaos import agent_checks as check
from tests.chaos.agent_trouble import Rule, Training, rule, training
from tests.e2e.disks import small_disk

from outlast.protocol.messages import AgentState, Permission

BUCKET_TROUBLES: dict[str, tuple[Rule, tuple[str, ...]]] = {
    "no space": (rule("write", r"\| unfinished", errno=errno.ENOSPC), ("the disk of", "is full")),
    "no inode": (rule("open mkdir", r"unfinished|\| (checkp|manif)", errno=errno.ENOSPC), ("is full",)),
    "fsync of a file": (rule("fsync", r"\| unfinished", errno=errno.EIO), ("Input/output error",)),
    "fsync of a folder": (rule("fsync", r"\| (jobs|manif|checkp)", errno=errno.EIO), ("Input/output",)),
    "read only": (rule("open mkdir link rename unlink", r"\| (unf|lock)", errno=errno.EROFS), ("writable",)),
    "stale": (rule("open link rename", r"\| (?!home)", errno=errno.ESTALE), ("Stale file handle",)),
}


@pytest.mark.parametrize("name", BUCKET_TROUBLES)
def test_a_bucket_folder_in_trouble_stops_no_training_and_is_told_until_it_works_again(
    tmp_path: Path, name: str
) -> None:
    wrong, words = BUCKET_TROUBLES[name]
    with training(tmp_path / "rig") as job:
        job.breaks([wrong])
        job.says(*words)
        at = job.head()
        job.trains_on()
        assert job.head() == at
        assert check.closure(job.rig)
        job.works_again()
        job.saves()
        check.returned_holds(job.rig, job.node)
        assert len(job.facts("storage.trouble")) == len(job.facts("storage.mended")) == 1
        job.leaves()
        job.node.kill()
        assert check.unfinished(job.rig) == []


def test_short_reads_and_writes_are_gone_on_with(tmp_path: Path) -> None:
    with training(tmp_path / "rig") as job:
        job.breaks([rule("write sendfile pread", ".", short=1000)])
        job.saves()
        job.trains_on()
        job.leaves()
        assert job.facts("storage.trouble") == []


def test_a_kernel_that_writes_short_and_then_refuses(tmp_path: Path) -> None:
    """A limit on the size of files: half of a write is done, the rest is an error."""
    with training(tmp_path / "rig", SIZE=3000, records=False) as job:
        assert job.node.process is not None
        pid = job.node.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
        job.says("too large")
        job.trains_on()
        assert check.closure(job.rig)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        job.saves()
        job.leaves()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_without_room_for_copies_saves_go_up_from_the_trainers_own_files(tmp_path: Path, error: int) -> None:
    with training(tmp_path / "rig") as job:
        job.breaks([rule("mkdir open link sendfile", "home staging", errno=error)])
        job.trains_on()
        job.saves()
        assert check.closure(job.rig)
        told = [why for why in job.facts("save.discarded") if "could not" in why or "no room" in why]
        assert told
        assert len(told) <= len({re.findall(r"step (\d+)", why)[0] for why in told}), "told again and again"


def test_a_copy_that_can_not_be_read_back_is_given_up_and_the_next_one_takes_its_place(
    tmp_path: Path,
) -> None:
    with training(tmp_path / "rig") as job:
        job.breaks([rule("pread mmap", "home staging/N/model", errno=errno.EIO)])
        job.until("it is given up", lambda: any("any more" in why for why in job.facts("save.discarded")))
        job.trains_on()
        job.works_again()
        job.saves()
        job.leaves()


def test_a_home_that_takes_nothing_any_more_stops_neither_training_nor_saving(tmp_path: Path) -> None:
    """The whole disk of the node is full for the agent; the trainer's own part of it is not."""
    with training(tmp_path / "rig") as job:
        writes = "open mkdir link write sendfile replace rename utime"
        rules = [rule(writes, r"home (staging|logs|attempts|alive|\.?memory)", errno=errno.ENOSPC)]
        job.breaks([*rules, rule("pread", "home (logs|attempts)", errno=errno.EIO)])
        job.trains_on()
        job.saves()
        job.works_again()
        job.leaves()


def test_a_writer_that_can_not_be_put_on_the_disk_is_never_claimed_with(tmp_path: Path) -> None:
    job = Training(tmp_path / "rig")
    try:
        job.breaks([rule("fsync", r"home \.memory", errno=errno.EIO)])
        job.node.start()
        job.until("it gives up", job.node.over)
        report = job.report()
        assert report.state is AgentState.FAILED
        assert report.failure is not None
        assert (report.failure.phase, report.failure.fatal) == ("claim", False)
        assert "Input/output error" in report.failure.message
        assert job.pointer() is None
        assert not list(job.node.home.glob("*.new"))
    finally:
        job.close()


def test_a_restore_onto_a_failing_disk_is_released_as_a_failure_of_this_node(tmp_path: Path) -> None:
    with training(tmp_path / "rig") as job:
        job.leaves()
        job.node.kill()
        step = job.head()
        node = job.rig.node("other", 2)
        node.told(job.rig.permission())
        node.faults.write_text('[{"ops": ["fsync"], "where": "home restoring", "errno": 5}]')
        node.start()
        job.until("it gives up", node.over)
        report = node.controller.reports[-1]
        assert report.state is AgentState.FAILED
        assert report.failure is not None
        assert report.failure.phase == "restore"
        assert "disk" in report.failure.message
        assert job.rig.told(2, "pid") == []
        assert job.head() == step


def test_what_was_renamed_and_not_made_durable_does_not_count(tmp_path: Path) -> None:
    """The rename takes place, the fsync of its folder fails: it is made durable before it counts."""
    renamed = "after | pointer | replace latest.json | rename unfinished > latest.json"
    synced = re.compile(r"after \| .*\| fsync jobs/j0b \|")
    # Any task that writes below the job's folder makes it durable: "status" does so, too.
    with training(tmp_path / "rig", polling=True) as job:

        def rows() -> list[str]:
            return job.node.record.read_text().splitlines()

        # The pointer's calls alone: a new folder of another object may owe the same fsync before any rename.
        job.breaks([rule("fsync", r"latest\.json \| jobs/j0b$", errno=errno.EIO)])
        before = len(rows())
        job.until("it renames", lambda: any(row.startswith(renamed) for row in rows()[before:]))
        job.trains_on()
        job.works_again()
        job.saves()
        pending = False
        for row in rows():
            if row.startswith(renamed):
                pending = True
            elif synced.match(row):
                pending = False
            assert not (pending and "| delete " in row), f"{row}: the write before it was not durable"
            # The link, not the call: the call itself settles what is owed first.
            named = "create manifests" in row and "| link " in row
            assert not (pending and named), f"{row}: the write before it was not durable"


def test_a_read_only_file_system_under_the_bucket(tmp_path: Path) -> None:
    with small_disk(tmp_path / "rig" / "bucket-disk") as disk:
        job = Training(tmp_path / "rig")
        job.rig.bucket_folder.rmdir()
        job.rig.bucket_folder.symlink_to(disk.folder)
        try:
            job.node.start()
            job.until("it has saved twice", lambda: job.head() >= 20)
            disk.read_only()
            job.says("writable")
            job.trains_on()
            disk.writable()
            job.saves()
            job.leaves()
        finally:
            job.close()


def test_a_trainer_whose_disk_is_full_goes_on_and_its_next_save_counts(tmp_path: Path) -> None:
    with small_disk(tmp_path / "saves") as disk:
        job = Training(tmp_path / "rig")
        work = job.node.home / "work" / "empty"
        work.mkdir(parents=True)
        (work / "saves").symlink_to(disk.folder)
        try:
            job.node.told(Permission())
            job.node.start()
            job.until("it has saved twice", lambda: job.head() >= 20)
            disk.fill()
            job.until("a save fails", lambda: job.rig.told(1, "not-saved"))
            job.trains_on()
            disk.free()
            job.saves()
            assert check.closure(job.rig)
        finally:
            job.close()
        assert all(gone(pid) for pid in job.rig.trainers())
