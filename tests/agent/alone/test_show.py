"""What a lone agent shows: the trainer's output as it is, its own words beside it."""

from __future__ import annotations

import io
from pathlib import Path

from outlast.alone.link import Told
from outlast.alone.show import Show, progress_line
from outlast.clock import SystemRuntime
from outlast.protocol.messages import AgentState, Report, SaveStatus
from outlast.protocol.objects import ManifestRef

DURABLE = ManifestRef("manifests/000000010-g1-aa.json", "xxh3-128:1", 10)
REPORT = Report("job", 1, 0, "here", "boot", 1, AgentState.RUNNING, step=12, why="training")


def test_the_line_says_step_durable_upload_and_trouble() -> None:
    save = SaveStatus(
        durable=DURABLE, durable_age_s=34.2, uploading_step=12, uploaded_bytes=45, upload_bytes=100,
        trouble="503", trouble_age_s=200.0,
    )  # fmt: skip
    line = progress_line(Report("job", 1, 0, "h", "b", 1, AgentState.RUNNING, step=12, save=save), "")
    assert line == "step 12 · durable: step 10, 34 s ago · uploading step 12 45 % · trouble for 3 min: 503"
    assert progress_line(REPORT, "") == "step 12 · nothing durable yet · training"


class Closed(io.BytesIO):
    def write(self, data: object) -> int:
        raise BrokenPipeError


def show(log: Path, out: io.BytesIO, err: io.BytesIO, *, live: bool) -> Show:
    return Show(SystemRuntime(), log, out, err, live=live)


def test_the_trainers_output_goes_through_and_the_agents_lines_stay_in_the_log(tmp_path: Path) -> None:
    log, out, err = tmp_path / "log", io.BytesIO(), io.BytesIO()
    log.write_bytes(b"of an earlier run\n")
    shown = show(log, out, err, live=False)
    with log.open("ab") as file:
        file.write(b"loss 1\n[outlast] training\n\xffpart[outlast] step 10\nial [out")
    shown.note("checkpoint.committed", "step 10")
    shown.note("save.found", "nobody needs to see that")
    shown.finish(10.0)
    assert out.getvalue() == b"loss 1\n\xffpartial [out"
    assert err.getvalue() == b"outlast: checkpoint.committed: step 10\n"


def test_on_a_terminal_one_line_is_written_over_and_cleared_at_the_end(tmp_path: Path) -> None:
    err = io.BytesIO()
    shown = show(tmp_path / "log", io.BytesIO(), err, live=True)
    shown.seen(Told(REPORT, ""))
    shown.note("", "a word")
    shown.finish(10.0)
    assert b"\r\x1b[Kstep 12" in err.getvalue()
    assert err.getvalue().endswith(b"\r\x1b[K")


def test_a_reader_that_has_gone_stops_nothing(tmp_path: Path) -> None:
    log, err = tmp_path / "log", io.BytesIO()
    shown = show(log, Closed(), err, live=False)
    log.write_bytes(b"loss 1\n")
    shown.note("", "still here")
    shown.finish(10.0)
    assert err.getvalue() == b"outlast: still here\n"
