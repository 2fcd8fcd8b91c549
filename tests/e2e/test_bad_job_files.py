"""Job files that are wrong: the real command says so in one line with the place, and submits nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.stage import Stage, one_line

RUN = "run: python train.py\n"
BAD: dict[str, tuple[bytes | str | None, tuple[str, ...]]] = {
    "missing": (None, ("job.yaml", "no such file")),
    "empty": ("", ("job.yaml", "empty")),
    "only comments": ("# run: python train.py\n", ("job.yaml", "run")),
    "binary": (b"\x00\x01\xff\xfe" * 50, ("job.yaml",)),
    "not YAML": ("run: [unclosed\n", ("job.yaml:",)),
    "a list": ("- run: python train.py\n", ("job.yaml", "list")),
    "no run": ("name: x\nworkdir: none\n", ("job.yaml", "run")),
    "an unknown key": (
        f"{RUN}resources:\n  gpu: H100:8\n",
        ("job.yaml:3", "gpu", "resources.gpus"),
    ),
    "a key of later": (f"{RUN}data: {{corpus: x}}\n", ("job.yaml:2", "data", "not yet")),
    "a negative count": (f"{RUN}checkpoint:\n  keep: -1\n", ("job.yaml:3", "checkpoint.keep")),
    "no machine at all": (f"{RUN}nodes: 0\n", ("job.yaml:2", "nodes")),
    "a wrong type": (f"{RUN}env: [A, B]\n", ("job.yaml:2", "env")),
    "a number for a duration": (f"{RUN}max_duration: 3\n", ("job.yaml:2", "max_duration")),
    "a missing script": (RUN, ("train.py", "there is no file")),
    "a name with a path in it": (f"{RUN}name: ../../etc/passwd\n", ("job.yaml:2", "name")),
    "a folder that is not there": (f"{RUN}workdir: nowhere\n", ("nowhere",)),
    "a folder outside": (f"{RUN}checkpoint:\n  dir: ../../elsewhere\n", ("job.yaml:3", "checkpoint.dir")),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_job_file_is_refused_in_one_line_and_nothing_is_submitted(
    shared: Stage, tmp_path: Path, case: str
) -> None:
    body, words = BAD[case]
    file = tmp_path / "job.yaml"
    if body is not None:
        file.write_bytes(body if isinstance(body, bytes) else body.encode())
    before = [job["id"] for job in shared.get("/v1/jobs")["jobs"]]
    ran = shared.outlast("submit", file, "-y", code=2)
    one_line(ran.err, *words)
    assert ran.out == ""
    assert [job["id"] for job in shared.get("/v1/jobs")["jobs"]] == before
