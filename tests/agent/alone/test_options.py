"""The command line of `agent run`: what it makes of it, and one line for each mistake."""

from __future__ import annotations

import pytest

from outlast.alone.options import Options, parse
from outlast.config import ConfigError


def options(*words: str, **environment: str) -> Options:
    return parse(words, environment, "outlast agent run")


def test_the_words_of_the_job_file() -> None:
    given = options(
        "--storage", "s3://b/team/gpt?region=r1", "--dir", "out/saves", "--every", "10m", "--keep", "5",
        "--resume-args", "--resume {resume_from}", "--signal", "TERM", "--outputs", "final",
        "--outputs", "runs",
        "--drain-limit", "90s", "--lease", "5m",
        "--", "python", "train.py", "--lr", "1", "--", "a b",
    )  # fmt: skip
    assert (given.name, given.command) == ("gpt", "python train.py --lr 1 -- 'a b'")
    plan = given.checkpoint
    assert (plan.dir, plan.every_s, plan.keep, plan.signal) == ("out/saves", 600.0, 5, "TERM")
    assert plan.resume_args == "--resume {resume_from}"
    assert (given.outputs, given.drain_limit_s, given.lease_s) == (("final", "runs"), 90.0, 300.0)


def test_one_word_is_a_shell_command_and_the_storage_may_stand_in_the_environment() -> None:
    given = options("--name", "x", "--", "a && b", OUTLAST_STORAGE="file:///data")
    assert (given.storage, given.name, given.command) == ("file:///data", "x", "a && b")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--", "true"], "--storage"),
        (["--storage", "s3://b"], "after `--`"),
        (["--storage", "s3://b", "--", "true"], "--name"),
        (["--storage", "ftp://b", "--", "true"], "'ftp://b' is not a bucket"),
        (["--storage", "s3://b?token=t", "--", "true"], "Keys do not belong"),
        (["--storage", "s3://b/x", "--name", "a/b", "--", "true"], "no path"),
        (["--storage", "s3://b/x", "--dir", "/abs", "--", "true"], "inside this folder"),
        (["--storage", "s3://b/x", "--dir", "a/../..", "--", "true"], "inside this folder"),
        (["--storage", "s3://b/x", "--dir", ".", "--", "true"], "folder of its own"),
        (["--storage", "s3://b/x", "--outputs", "../up", "--", "true"], "inside this folder"),
        (["--storage", "s3://b/x", "--every", "10 parsecs", "--", "true"], "not a duration"),
        (["--storage", "s3://b/x", "--keep", "0", "--", "true"], "1 or more"),
        (["--storage", "s3://b/x", "--upload-mbps-max", "0", "--", "true"], "more than 0"),
        (["--storage", "s3://b/x", "--lease", "5s", "--", "true"], "30s or more"),
        (["--storage", "s3://b/x", "--resume-args", "{checkpoint}", "--", "true"], "{resume_from}"),
    ],
)
def test_a_mistake_gets_one_line(words: list[str], told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        options(*words)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)
