"""A job file that is right becomes a job; one that is wrong gets one line: where, what, how to mend."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from outlast.protocol.durations import duration_s
from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.core.types import Market
from outlast_orchestrator.jobfile.load import (
    GitSource,
    JobFile,
    load_job_file,
    load_values,
    parse_spec,
    to_job,
)
from outlast_orchestrator.jobfile.read_yaml import ALIASES_MAX, BYTES_MAX


def _load(folder: Path, text: str, **env: str) -> JobFile:
    file = folder / "job.yaml"
    file.write_text(text)
    return load_job_file(file, env)


WRONG = [
    ("resorces: {}", 2, "resorces: no such key; did you mean resources?"),
    ("resources: {gpu: H100}", 2, "resources.gpu: no such key; did you mean resources.gpus?"),
    ("gpus: H100", 2, "gpus: no such key; did you mean resources.gpus?"),
    ("frobnicate: 1", 2, "frobnicate: no such key; a job file may hold run,"),
    (
        "retry:\n  max_failures: -1",
        3,
        "retry.max_failures: -1 is out of range; write a number that is at least 0",
    ),
    ("nodes: -1", 2, "nodes: -1 is out of range"),
    ("nodes: yes", 2, "nodes: expected a whole number, found true"),
    ("nodes: 65", 2, "nodes: at most 64 machines can train one job together"),
    ("checkpoint: {parts: all}", 2, "checkpoint.parts: "),
    ("data: {corpus: x}", 2, "data: not yet: "),
    ("secrets: [a b]", 2, "secrets.0: 'a b' can't be the name of an environment variable"),
    ("secrets: [OUTLAST_X]", 2, "secrets.0: 'OUTLAST_X' is reserved"),
    ("env: {A: x}\nsecrets: [A]", 3, "A is in env and in secrets; keep it in one of them"),
    ("max_duration: 30", 2, "max_duration: expected text, found 30; put quotes round it and give it a unit"),
    ("name: 30", 2, "name: expected text, found 30; put quotes round it"),
    ("retry: {exit_codes: {fatal: [2], retryable: [2]}}", 2, "2 is in fatal and in retryable"),
    ("max_duration: 30 minutes", 2, "max_duration: '30 minutes' is not a duration; write for instance 45s"),
    ("max_duration: 0s", 2, "max_duration: a duration must be longer than nothing"),
    ("setup: [a]", 2, "setup: expected text, found ['a']"),
    ("labels: [a]", 2, "labels: expected a mapping (KEY: value), found ['a']"),
    ("resources: []", 2, "resources: expected a mapping (key: value), found []"),
    ("resources: {market: cheap}", 2, "resources.market: 'cheap' is none of 'spot', 'on-demand'"),
    ("resources: {gpus: 'H100:0'}", 2, "resources.gpus.0: 'H100:0' is no kind of GPU"),
    ("resources: {price_max_usd_h: .nan}", 2, "resources.price_max_usd_h: must be a finite number"),
    ("name: ../other", 2, "name: '../other' is no name; "),
    ("name: a/b", 2, "name: 'a/b' is no name; "),
    ("workdir: nowhere", 2, "does not exist; name a folder, or REPOSITORY@COMMIT"),
    ("workdir: https://host/a.git@main", 2, "names no commit; write REPOSITORY@COMMIT"),
    ("outputs: [../secret]", 2, "outputs.0: '../secret' must be a path inside the working folder"),
    ("outputs: [/etc]", 2, "outputs.0: '/etc' must be a path inside the working folder"),
    ("checkpoint: {dir: .}", 2, "checkpoint.dir: must be a folder of its own"),
    ("checkpoint: {pattern: ''}", 2, "checkpoint.pattern.0: is empty; write a glob such as step_*.pt"),
    (
        "checkpoint: {pattern: [a, ../b]}",
        2,
        "checkpoint.pattern.1: '../b' must be a glob inside checkpoint.dir",
    ),
    ("checkpoint: {pattern: /tmp/*.pt}", 2, "checkpoint.pattern.0: '/tmp/*.pt' must be a glob inside"),
    ("checkpoint: {pattern: 'a**/b'}", 2, "checkpoint.pattern.0: 'a**/b': ** stands for folders"),
    ("checkpoint: {pattern: 'step[0.pt'}", 2, "checkpoint.pattern.0: 'step[0.pt' has a bracket without"),
    ("checkpoint: {health: loud}", 2, "checkpoint.health: *: 'loud' is none of quarantine, warn, off"),
    ("checkpoint: {signal: KILL}", 2, "checkpoint.signal: 'KILL' is no signal to save on"),
    ("checkpoint: {resume_args: '--from {path}'}", 2, "checkpoint.resume_args: {path} is not known here"),
    ("env: {OUTLAST_STEP: 1}", 2, "env.OUTLAST_STEP: 'OUTLAST_STEP' is reserved"),
    ("env: {'a b': 1}", 2, "can't be the name of an environment variable"),
    ("env: {TOKEN: }", 2, "env.TOKEN: has no value; write one here, or give it with -e TOKEN="),
    ("run: python b.py", 2, "run: is there twice (first on line 1); keep one of them"),
    ("setup: !!python/name:os.system x", 2, "setup: the tag tag:yaml.org,2002:python/name:os.system has"),
    ("name: !!int x", 2, "name: 'x' can't be read; put quotes round it"),
    ("? [a, b]\n: 1", 2, "a key must be a word"),
    ("\tname: x", 2, "not YAML: found character"),
    ("---\nrun: other", 2, "not YAML: there is more than one document"),
]


@pytest.mark.parametrize(("text", "line", "message"), WRONG, ids=[text[:30] for text, _, _ in WRONG])
def test_a_mistake_gets_one_line_with_its_place(tmp_path: Path, text: str, line: int, message: str) -> None:
    with pytest.raises(UserError) as raised:
        _load(tmp_path, f"run: 'true'\n{text}\n")
    told = str(raised.value)
    assert "\n" not in told
    assert told.startswith(f"{tmp_path / 'job.yaml'}:{line}: ")
    assert message in told


@pytest.mark.parametrize("text", ["off", "{'*.bn': off, '*': warn}", "'off'"])
def test_off_needs_no_quotes(tmp_path: Path, text: str) -> None:
    """It is one of three words that people are told to write, and YAML takes it for false."""
    spec = _load(tmp_path, f"run: 'true'\ncheckpoint: {{health: {text}}}\n").spec
    assert next(iter(spec.checkpoint.health.values())) == "off"
    assert parse_spec(json.loads(spec.model_dump_json())) == spec


def test_the_first_mistake_is_told_and_the_others_are_counted(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"job\.yaml:2: nodes: .*\(and 2 more\)$"):
        _load(tmp_path, "run: 'true'\nnodes: x\nbogus: 1\nnotify: me\n")


BAD_FILES = [
    (b"", "is empty; write at least"),
    (b"# nothing but a comment\n", "is empty; write at least"),
    (b"\x89PNG\r\n\x1a\n\xff\xfe", "is not text in UTF-8"),
    (b"run: a\0b", "is a binary file"),
    (b"run: \x07", "not YAML"),
    (b"run: [", "not YAML"),
    (b"- run: a\n", "is a list; a job file holds keys"),
    (b"just words", "is a single value"),
    (b"name: x\n", "run: is missing; write the command that trains"),
    (b"run:\n", "run: is missing; write the command that trains"),
    (b"run: ' '\n", "run: is empty; write a shell command"),
    (b"run: " + b"x" * BYTES_MAX, "is larger than 256 KiB"),
    (b"[" * 5000, "is nested too deeply"),
    (b"run: x\nlabels: {" + b"a: 1, " * 20_000 + b"}", "is too long"),
    (b"x: &a 1\ny: [" + b"*a, " * (ALIASES_MAX + 1) + b"]", "has too many aliases"),
]


@pytest.mark.parametrize(("body", "message"), BAD_FILES, ids=[message for _, message in BAD_FILES])
def test_what_is_no_job_file_is_said_to_be_so(tmp_path: Path, body: bytes, message: str) -> None:
    file = tmp_path / "job.yaml"
    file.write_bytes(body)
    with pytest.raises(UserError) as raised:
        load_job_file(file)
    told = str(raised.value)
    assert message in told
    assert "\n" not in told
    assert told.startswith(str(file))


def test_a_bomb_of_aliases_is_refused(tmp_path: Path) -> None:
    levels = "\n".join(f"  l{n}: &l{n} [*l{n - 1}, *l{n - 1}]" for n in range(1, 8))
    wide = ", ".join("1" for _ in range(300))
    with pytest.raises(UserError, match="unfold into too much"):
        _load(tmp_path, f"run: x\nlabels:\n  l0: &l0 [{wide}]\n{levels}\n")


def test_a_file_that_is_missing_or_a_folder_or_unreadable_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml: there is no such file"):
        load_job_file(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="is a folder; name the job file in it"):
        load_job_file(tmp_path)
    with pytest.raises(UserError, match="can't be read"):
        load_job_file(tmp_path / ("x" * 300))


def test_only_run_is_required(tmp_path: Path) -> None:
    folder = tmp_path / "my model!"
    folder.mkdir()
    job = _load(folder, "run: 'true'\n")
    assert (job.name, job.folder, job.git) == ("my-model", folder.resolve(), None)
    assert job.spec.resources.market == "spot"


def test_env_and_labels_stay_as_they_were_typed_and_overrides_win(tmp_path: Path) -> None:
    job = _load(
        tmp_path, "run: x\nenv: {LR: 1e-4, DEBUG: yes, N: 010, T: }\nlabels: {v: 1.10}\n", T="t", N="3"
    )
    assert job.spec.env == {"LR": "1e-4", "DEBUG": "yes", "N": "3", "T": "t"}
    assert job.spec.labels == {"v": "1.10"}
    with pytest.raises(UserError, match=r"env\.A B: .*can't be the name"):
        load_job_file(tmp_path / "job.yaml", {"A B": "1", "T": "t"})


@pytest.mark.parametrize(
    "run",
    [
        "python train.py --lr 1",
        "OMP_NUM_THREADS=1 python3.11 -u train.py",
        "torchrun --nproc-per-node 8 train.py",
        "./train.py",
        "bash sub/train.sh",
    ],
)
def test_a_script_that_is_not_there_is_an_error(tmp_path: Path, run: str) -> None:
    with pytest.raises(
        UserError, match=r"job\.yaml:1: run: there is no file (sub/)?train\.(py|sh) in the working"
    ):
        _load(tmp_path, f"run: {run}\n")
    (tmp_path / "sub").mkdir()
    for name in ("train.py", "sub/train.sh"):
        (tmp_path / name).touch()
    assert _load(tmp_path, f"run: {run}\n").script in ("train.py", "sub/train.sh")


@pytest.mark.parametrize(
    "text",
    [
        "run: python -m train.py",
        "run: cd elsewhere && python train.py",
        "run: python $SCRIPT.py",
        "run: python train.py\nsetup: git clone https://host/repo .",
        "run: python train.py\nworkdir: none",
        "run: python -c 'print(1)'",
        "run: 'python \"unfinished'",
    ],
)
def test_a_script_that_may_yet_come_is_no_error(tmp_path: Path, text: str) -> None:
    assert _load(tmp_path, text + "\n").script is None


def test_workdir_is_a_folder_or_a_commit(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "odd@1234567").mkdir()
    assert _load(tmp_path, "run: x\nworkdir: code\n").folder == (tmp_path / "code").resolve()
    assert _load(tmp_path, "run: x\nworkdir: odd@1234567\n").git is None
    assert _load(tmp_path, "run: x\nworkdir: code@1234567\n").git == GitSource(
        str((tmp_path / "code").resolve()), "1234567"
    )
    url = "git@host:me/repo.git"
    assert _load(tmp_path, f"run: x\nworkdir: {url}@0badc0de\n").git == GitSource(url, "0badc0de")
    assert _load(tmp_path, "run: x\nworkdir: none\n").folder is None
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file, not a folder"):
        _load(tmp_path, "run: x\nworkdir: file\n")


def test_to_job_carries_every_value(tmp_path: Path) -> None:
    text = """
run: python t.py
setup: make
env: {A: b}
outputs: out
labels: {team: x}
max_duration: 1h30m
resources: {gpus: [H100:8, L4], clouds: local, regions: here, market: spot-with-fallback,
            price_max_usd_h: 3, disk_gb: 7}
checkpoint: {dir: ck, pattern: "run/*.pt", every: 45s, keep: 5, resume_args: "--from {resume_from}",
             signal: sigterm, upload_mbps_max: 250}
retry: {max_failures: 0, exit_codes: {fatal: [2], retryable: [75]}}
"""
    (tmp_path / "t.py").touch()
    loaded = _load(tmp_path, text)
    job = to_job(
        loaded.spec, id="j1", name="n", owner="o", created_at=5.0, storage="s", code="code/x", revision=2
    )
    assert (job.id, job.name, job.owner, job.created_at, job.revision) == ("j1", "n", "o", 5.0, 2)
    assert (job.storage, job.policy, job.nodes, job.max_duration_s) == ("s", "cheapest", 1, 5400.0)
    assert job.work.checkpoint.parts == ""
    want = job.want
    assert (want.gpus, want.clouds, want.regions) == (("H100:8", "L4:1"), ("local",), ("here",))
    assert want.markets == (Market.SPOT, Market.ON_DEMAND)
    assert (want.price_max_usd_h, want.disk_gb, job.labels) == (3.0, 7, {"team": "x"})
    work, plan = job.work, job.work.checkpoint
    assert (work.name, work.owner, work.revision, work.code) == ("n", "o", 2, "code/x")
    assert (work.run, work.setup, work.env, work.outputs) == ("python t.py", "make", {"A": "b"}, ("out",))
    assert plan.pattern == ("run/*.pt",)
    assert (plan.dir, plan.every_s, plan.keep, plan.resume_args) == ("ck", 45.0, 5, "--from {resume_from}")
    assert (plan.signal, plan.upload_mbps_max) == ("TERM", 250.0)
    retry = job.retry
    assert (retry.max_failures, retry.fatal_exit_codes, retry.retryable_exit_codes) == (0, (2,), (75,))


def test_a_spec_survives_the_way_over_the_api(tmp_path: Path) -> None:
    spec = _load(tmp_path, "run: x\nresources: {gpus: L4}\ncheckpoint: {every: 5m, signal: none}\n").spec
    assert parse_spec(json.loads(spec.model_dump_json())) == spec
    job = to_job(spec, id="i", name="n", owner="o", created_at=0.0, storage="s")
    assert job.work.checkpoint.signal == ""
    spec = _load(tmp_path, "run: x\ncheckpoint: {every: auto, health: {'*.var': warn}}\n").spec
    assert parse_spec(json.loads(spec.model_dump_json())) == spec
    plan = to_job(spec, id="i", name="n", owner="o", created_at=0.0, storage="s").work.checkpoint
    assert (plan.auto, plan.every_s, plan.health) == (True, None, {"*.var": "warn"})
    with pytest.raises(UserError, match=r"^the job: bogus: no such key"):
        parse_spec({"run": "x", "bogus": 1})
    with pytest.raises(UserError, match=r"^the job: expected a mapping"):
        parse_spec([1])


def test_values_from_a_command_line_get_the_same_checks(tmp_path: Path) -> None:
    job = load_values({"run": "x", "resources": {"gpus": ["L4"]}}, "outlast run", tmp_path, {"A": "1"})
    assert (job.folder, job.spec.env) == (tmp_path.resolve(), {"A": "1"})
    with pytest.raises(UserError, match=r"^outlast run: resources\.disk_gb: -1 is out of range"):
        load_values({"run": "x", "resources": {"disk_gb": -1}}, "outlast run", tmp_path)


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("30m", 1800), ("1h30m", 5400), ("2d1s", 172_801)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "1.5h", "-1s", "30m1h", "1h 30m", "h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        duration_s(text)
