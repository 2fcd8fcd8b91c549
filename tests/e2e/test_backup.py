"""The controller's store is lost, and an older backup takes its place: running jobs do not notice."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.long_trainer import LongJob, submit
from tests.e2e.stage import Stage, one_line


def _moved(job: LongJob, generation: int) -> None:
    """To another machine, as the market does it: the machine is taken without a notice."""
    job.stage.cloud.interrupt(job.stage.machine(job.id), notice=False)
    job.stage.until_saved(job.id, generation)


def _lose_the_server(stage: Stage) -> None:
    """With everything that it had in its home, but the settings and the bucket."""
    stage.kill_server()
    for file in stage.home.iterdir():
        if file.is_file():
            file.unlink()


@dataclass(frozen=True)
class Yesterday:
    """The jobs, and where those that run today do so."""

    moved: LongJob
    ended: LongJob
    cancelled: LongJob
    paused: LongJob
    late: LongJob
    machines: dict[str, str]
    generations: dict[str, int]

    def running(self) -> tuple[LongJob, ...]:
        return self.moved, self.paused, self.late


def _a_day_passes(stage: Stage, backup: Path) -> Yesterday:
    """Four jobs are in the backup; since then each has become something else, and a fifth was submitted."""
    names = ("moved", "ended", "cancelled", "paused")
    moved, ended, cancelled, paused = (submit(stage, name) for name in names)
    for job in (moved, ended, cancelled, paused):
        stage.until_saved(job.id)
    stage.outlast("pause", "paused")
    stage.until_state(paused.id, "PAUSED")
    made = stage.outlast("admin", "backup", backup, "--json").json
    assert made["jobs"] == 4
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    _moved(moved, 2)
    _moved(moved, 3)
    ended.finishes()
    stage.outlast("cancel", "cancelled")
    stage.until_state(cancelled.id, "CANCELLED")
    stage.outlast("resume", "paused")
    stage.until_saved(paused.id, 2)
    late = submit(stage, "late")
    stage.until_saved(late.id)
    stage.until("what is over has no machine", lambda: not stage.living_machines(ended.id))
    running = (moved, paused, late)
    machines = {job.name: stage.machine(job.id) for job in running}
    generations = {job.name: int(stage.pointer(job.id)["generation"]) for job in running}
    return Yesterday(moved, ended, cancelled, paused, late, machines, generations)


def test_jobs_that_moved_on_since_the_backup_are_found_as_they_are(stage: Stage) -> None:
    stage.start()
    backup = stage.folder / "yesterday"
    jobs = _a_day_passes(stage, backup)
    launched = len(stage.cloud.instances())
    _lose_the_server(stage)
    for job in jobs.running():
        job.trains_on()
    assert "restored" in stage.outlast("server", "start", "-d", "--from-backup", backup).err
    for job in (jobs.moved, jobs.paused):
        _known_as_it_runs(stage, job, jobs.generations[job.name])
    stage.until_state(jobs.ended.id, "SUCCEEDED")
    held = stage.until_state(jobs.cancelled.id, "FAILED")
    assert "told to" in held["why"]
    assert "outlast resume cancelled" in stage.events(jobs.cancelled.id, "tell")[-1]["why"]
    told = stage.until("the late one is told", lambda: _unknown(stage))
    assert jobs.late.id in told
    assert jobs.machines["late"] in told
    for job in jobs.running():
        job.trains_on(50)
    for job in jobs.running():
        assert stage.living_machines(job.id) == [jobs.machines[job.name]], job.name
        assert stage.pointer(job.id)["generation"] == jobs.generations[job.name]
        assert {g for g, _ in job.steps()} == set(range(1, jobs.generations[job.name] + 1))
    assert stage.living_machines(jobs.cancelled.id) == []
    assert len(stage.cloud.instances()) == launched, "nothing was launched"
    for job in (jobs.moved, jobs.paused):
        _nothing_was_done(stage, job)
        job.finishes()
    (stage.folder / "late.go").touch()
    stage.until("the late one ends by itself", lambda: stage.pointer(jobs.late.id)["state"] == "ended")
    assert stage.pointer(jobs.late.id)["exit_code"] == 0


def _known_as_it_runs(stage: Stage, job: LongJob, generation: int) -> None:
    stage.until_status(
        job.id,
        f"{job.name} is known as it runs",
        lambda status: status["state"] == "RUNNING" and status["generation"] == generation,
    )


def _unknown(stage: Stage) -> str:
    events = stage.outlast("events", "--json", "--last", "200").json["events"]
    return "".join(event["why"] for event in events if event["kind"] == "job.unknown")


def _nothing_was_done(stage: Stage, job: LongJob) -> None:
    """Since the restore: no launch, and the only attempts that were closed are those of then."""
    adopted = stage.events(job.id, "attempt.adopted")
    assert len(adopted) == 1, stage.story(job.id)
    since = [e for e in stage.events(job.id) if e["seq"] >= adopted[0]["seq"]]
    assert not [e for e in since if e["kind"] in ("launch.intended", "attempt.planned")], stage.story(job.id)
    closed = [e for e in since if e["kind"] == "attempt.closed"]
    assert all("has claimed" in e["why"] for e in closed), closed


def test_what_is_not_to_be_restored_is_refused_in_a_line(stage: Stage) -> None:
    stage.start()
    backup = stage.folder / "backup"
    one_line(stage.outlast("admin", "backup", backup).out, "0 jobs", "password")
    one_line(stage.outlast("admin", "backup", backup, code=2).err, str(backup), "-f")
    stage.outlast("admin", "backup", backup, "-f")
    one_line(stage.outlast("server", "start", "-d", "--from-backup", backup, code=2).err, "running already")
    url = stage.server_url()
    one_line(
        stage.outlast("admin", "backup", backup, "-f", code=2, OUTLAST_URL=url).err, "where that server runs"
    )
    job = stage.submit("job", {}, run="true")
    stage.until_state(job, "SUCCEEDED")
    stage.outlast("server", "stop")
    store = (stage.home / "outlast.db").read_bytes()
    one_line(
        stage.outlast("server", "start", "-d", "--from-backup", backup, code=2).err,
        "events",
        "-f",
        str(backup),
    )
    one_line(stage.outlast("server", "start", "--from-backup", "nowhere", "-f", code=2).err, "nowhere")
    assert (stage.home / "outlast.db").read_bytes() == store
