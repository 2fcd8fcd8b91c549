"""Each command against a real API: what it prints where, what it changes, and how it exits."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Outlast
from tests.fakes.api import Api
from typer.testing import Result

from outlast.bucket.manifest import hash_bytes
from outlast.bucket.outputs import object_key
from outlast.protocol.objects import log_key
from outlast_orchestrator.cli import fetch
from outlast_orchestrator.cli.exits import of_job
from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.types import Job, JobState, Wanted

BOUND_S = 30.0


def _json(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == 1, result.stdout
    value: dict[str, Any] = json.loads(lines[0])
    return value


@pytest.fixture
def file(tmp_path: Path) -> str:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "train.py").write_text("print('hello')\n")
    (folder / "job.yaml").write_text("name: gpt\nrun: python train.py\n")
    return str(folder / "job.yaml")


def test_submit_shows_the_price_asks_and_brings_the_code(outlast: Outlast, api: Api, file: str) -> None:
    result = outlast("submit", file, "-e", "LR=0.1", api=api, answer="y\n")
    assert result.exit_code == 0, result.output
    assert "$0.3000/h" in result.stderr
    (job,) = api.store.jobs()
    assert result.stdout.strip().endswith(job.id)
    assert (job.name, job.work.run, job.work.env["LR"]) == ("gpt", "python train.py", "0.1")
    assert api.bucket(job.id).get(job.work.code).body != b""


def test_no_means_no(outlast: Outlast, api: Api, file: str) -> None:
    result = outlast("submit", file, api=api, answer="n\n")
    assert result.exit_code == 130
    assert api.store.jobs() == []


def test_submit_json_is_one_object_and_the_plan_goes_to_stderr(outlast: Outlast, api: Api, file: str) -> None:
    value = _json(outlast("submit", file, "-y", "--json", api=api))
    (job,) = api.store.jobs()
    assert (value["id"], value["plan"]["first"]["zone"]) == (job.id, "r1-a")


@pytest.mark.parametrize(
    ("state", "status"),
    [(JobState.SUCCEEDED, 0), (JobState.FAILED, 1), (JobState.CANCELLED, 5)],
)
def test_watching_exits_by_the_outcome(
    outlast: Outlast, api: Api, file: str, state: JobState, status: int
) -> None:
    def finish() -> None:
        for _ in range(int(BOUND_S / 0.05)):
            if api.store.jobs():
                break
            threading.Event().wait(0.05)
        (job,) = api.store.jobs()
        api.state(job, JobState.RUNNING, "the trainer steps")
        api.state(job, state, "so it ended")

    leader = threading.Thread(target=finish)
    leader.start()
    result = outlast("submit", file, "-y", "--watch", api=api)
    leader.join(BOUND_S)
    assert result.exit_code == status == of_job(state.value)
    assert "so it ended" in result.stdout
    assert "the trainer steps" in result.stderr


def test_watching_survives_a_server_that_is_started_again(outlast: Outlast, api: Api) -> None:
    job = api.job("gpt")
    api.state(job, JobState.RUNNING, "steps")

    def bounce() -> None:
        api.stop()
        api.start()  # at another port
        api.home()
        api.state(job, JobState.SUCCEEDED, "done")

    after = threading.Timer(1.0, bounce)
    after.start()
    result = outlast("logs", "gpt", "-f", api=api)
    after.join(BOUND_S)
    assert result.exit_code == 0, result.output


def test_run_wraps_a_command_of_this_folder(outlast: Outlast, api: Api, tmp_path: Path) -> None:
    words = ["run", "--name", "quick", "-y", "-d", "-e", "A=1", "--", "python", "train.py", "-e", "a b"]
    (tmp_path / "train.py").write_text("")
    result = outlast(*words, api=api)
    assert result.exit_code == 0, result.output
    (job,) = api.store.jobs()
    assert (job.name, job.work.run) == ("quick", "python train.py -e 'a b'")
    assert job.work.env["A"] == "1"


def test_run_takes_one_word_as_a_shell_command(outlast: Outlast, api: Api) -> None:
    assert outlast("run", "--name", "q", "-y", "-d", "--", "echo a && echo b", api=api).exit_code == 0
    assert api.store.jobs()[0].work.run == "echo a && echo b"


def test_plan_starts_nothing(outlast: Outlast, api: Api, file: str) -> None:
    assert _json(outlast("plan", file, "--json", api=api))["first"]["price_usd_h"] == 0.3
    assert "r1-b" in outlast("plan", file, api=api).stdout
    assert api.store.jobs() == []


def test_ps_and_status_show_reason_and_age(outlast: Outlast, api: Api) -> None:
    job = api.job("gpt")
    api.instance(job)
    api.attempt(job)
    api.state(job, JobState.UNREACHABLE, "not heard from: the lease ends in 4 min")
    for words in (["ps"], ["status", "gpt"]):
        shown = outlast(*words, api=api).stdout
        for word in ("gpt", "UNREACHABLE", "the lease ends in 4 min", " s"):
            assert word in shown, (words, word)
    assert _json(outlast("ps", "--json", api=api))["jobs"][0]["state"] == "UNREACHABLE"
    assert _json(outlast("status", job.id, "--json", api=api))["instances"][0]["id"] == "i-launch-1"


def test_nothing_to_list_says_what_to_do(outlast: Outlast, api: Api) -> None:
    assert "outlast submit" in outlast("ps", api=api).stdout


def _job_of(api: Api, job: Job) -> Job:
    found = api.store.job(job.id)
    assert found is not None
    return found


def test_wishes(outlast: Outlast, api: Api) -> None:
    job = api.job("gpt")
    assert outlast("pause", "gpt", api=api).exit_code == 0
    assert _job_of(api, job).wanted is Wanted.PAUSED
    assert _json(outlast("resume", "gpt", "--json", api=api))["changed"] is True
    assert _job_of(api, job).wanted is Wanted.RUN
    assert outlast("cancel", "gpt", api=api).exit_code == 0
    assert _job_of(api, job).wanted is Wanted.CANCELLED
    assert outlast("resume", "gpt", api=api).exit_code == 2
    assert outlast("admin", "restart", "gpt", "--now", api=api).exit_code == 0
    assert _job_of(api, job).restart.now is True
    assert _job_of(api, job).wanted is Wanted.RUN


def test_who_stops_what_never_saved_is_told_so_first(outlast: Outlast, api: Api, file: str) -> None:
    job = api.job("gpt")
    api.attempt(job, 1, last_step=40)
    api.state(job, JobState.RUNNING)
    for words in (["pause", "gpt"], ["resume", "gpt"], ["update", "gpt", file], ["admin", "restart", "gpt"]):
        result = outlast(*words, api=api)
        assert result.exit_code == 0, result.output
        assert ("begins anew" in result.stderr) == (words[0] != "resume"), words
    api.state(job, JobState.FAILED, "crashed")
    told = outlast("why", "gpt", api=api).stdout.splitlines()
    assert told[-2:] == [
        "What it printed: `outlast logs gpt`",
        "It can be continued from the beginning, for it has saved nothing: `outlast resume gpt`",
    ]


def test_update_brings_the_new_code(outlast: Outlast, api: Api, file: str) -> None:
    job = api.job("gpt")
    result = outlast("update", "gpt", file, "-e", "LR=0.2", api=api)
    assert result.exit_code == 0, result.output
    assert "revision 2" in result.stdout
    revised = _job_of(api, job)
    assert (revised.revision, revised.work.env["LR"]) == (2, "0.2")
    assert api.bucket(job.id).get(revised.work.code).body != b""


def test_events_and_why_tell_causes_in_order(outlast: Outlast, api: Api) -> None:
    job = api.job("gpt")
    notice = Event(Kind.NOTICE_SEEN, "the market takes it in 120 s", job=job.id, attempt=1)
    saves = [Event(Kind.CHECKPOINT_COMMITTED, f"step {n}", job=job.id, attempt=1) for n in range(9)]
    api.commit(events=(notice, *saves, Event(Kind.ATTEMPT_RELEASED, "saved and left", job=job.id, attempt=1)))
    api.state(job, JobState.RECOVERING, "waits for a machine")
    shown = outlast("events", "gpt", api=api).stdout
    assert shown.index("the market takes it") < shown.index("saved and left")
    assert len(_json(outlast("events", "gpt", "--json", "--last", "3", api=api))["events"]) == 3
    assert len(_json(outlast("events", "gpt", "--json", "--last", "0", api=api))["events"]) == 13
    assert outlast("events", api=api).stdout == shown
    told = outlast("why", "gpt", api=api).stdout.splitlines()
    assert told[0].startswith("gpt is RECOVERING for")
    assert any("9 checkpoints committed" in line for line in told)
    assert len(_json(outlast("why", "gpt", "--json", api=api))["story"]) < 13


def test_logs_go_to_stdout_as_they_are(outlast: Outlast, api: Api) -> None:
    job = api.job("gpt")
    api.attempt(job, 1)
    api.attempt(job, 2)
    api.bucket(job.id).create(log_key(1, 0, "b", 0), b"first\n\xff\n")
    api.bucket(job.id).create(log_key(2, 0, "b", 0), b"second\n")
    assert outlast("logs", "gpt", api=api).stdout_bytes == b"second\n"
    assert outlast("logs", "gpt", "--attempt", "1", api=api).stdout_bytes == b"first\n\xff\n"
    api.state(job, JobState.SUCCEEDED, "done")
    assert outlast("logs", "gpt", "-f", api=api).stdout_bytes == b"second\n"


def test_checkpoints_and_orphans(outlast: Outlast, api: Api) -> None:
    api.job("gpt")
    assert "no checkpoint yet" in outlast("checkpoints", "ls", "gpt", api=api).stdout
    assert _json(outlast("checkpoints", "ls", "gpt", "--json", api=api)) == {"checkpoints": []}
    assert "i-stray" in outlast("admin", "orphans", api=api).stdout


def test_outputs_arrive_whole(outlast: Outlast, api: Api, tmp_path: Path) -> None:
    api.leave(api.job("gpt"), {"model/weights #1.bin": b"w" * 3_000_000, "empty.csv": b""})
    target = tmp_path / "got"
    assert len(_json(outlast("outputs", "get", "gpt", str(target), "--json", api=api))["outputs"]) == 2
    assert (target / "model" / "weights #1.bin").read_bytes() == b"w" * 3_000_000
    assert sorted(p.name for p in target.rglob("*")) == ["empty.csv", "model", "weights #1.bin"]


def test_a_damaged_output_does_not_get_its_name(outlast: Outlast, api: Api, tmp_path: Path) -> None:
    job = api.job("gpt")
    api.leave(job, {"model.bin": b"good"})
    api.bucket(job.id).put(object_key(hash_bytes(b"good")), b"evil")
    result = outlast("outputs", "get", "gpt", str(tmp_path / "got"), api=api)
    assert result.exit_code == 4
    assert "model.bin arrived damaged" in result.stderr
    assert list((tmp_path / "got").iterdir()) == []


@pytest.mark.parametrize("path", ["../evil", "/tmp/evil", "a/../../evil"])
def test_outputs_never_leave_the_folder(outlast: Outlast, api: Api, tmp_path: Path, path: str) -> None:
    api.leave(api.job("gpt"), {path: b"x"})
    result = outlast("outputs", "get", "gpt", str(tmp_path / "got"), api=api)
    assert result.exit_code == 4
    assert "leads out of its folder" in result.stderr
    assert not (tmp_path / "evil").exists()
    with pytest.raises(UserError, match="outside"):  # whatever a server says
        fetch.place({"path": path}, tmp_path / "got", "output")


def test_names_with_markup_are_shown_as_they_are(outlast: Outlast, api: Api) -> None:
    job = api.job("gpt")
    api.state(job, JobState.FAILED, "no [bold]machine[/] in [zone]")
    for words in (["ps"], ["status", "gpt"]):
        assert "no [bold]machine[/] in [zone]" in outlast(*words, api=api).stdout


def test_what_a_node_says_does_not_steer_the_terminal(outlast: Outlast, api: Api) -> None:
    job = api.job("gpt")
    api.state(job, JobState.FAILED, "out of memory\x1b[2J\x07\r\nall is well")
    for words in (["ps"], ["status", "gpt"], ["events", "gpt"], ["why", "gpt"]):
        shown = outlast(*words, api=api).stdout
        assert not set("\x1b\x07\r") & set(shown), words
        assert "out of memory" in shown


def test_a_price_above_the_limit_is_said_in_the_plan(outlast: Outlast, api: Api, file: str) -> None:
    api.offers[:] = [replace(offer, price_usd_h=0.9) for offer in api.offers]
    Path(file).write_text("run: python train.py\nresources: {price_max_usd_h: 0.5}\n")
    result = outlast("plan", file, api=api)
    assert "No machine can be had" in result.stdout
    assert "0.900" in result.stdout
