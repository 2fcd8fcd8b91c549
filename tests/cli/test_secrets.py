"""`outlast secret`: a value comes from stdin, and is shown nowhere."""

from __future__ import annotations

from tests.cli.conftest import Outlast
from tests.fakes.api import Api


def test_set_ls_rm(outlast: Outlast, api: Api) -> None:
    done = outlast("secret", "set", "HF_TOKEN", api=api, answer="hf_value\n")
    assert (done.exit_code, done.stdout) == (0, "HF_TOKEN is kept; jobs get it at their next start\n")
    assert (api.folder / "secrets" / "HF_TOKEN").read_text() == "hf_value"
    shown = outlast("secret", "ls", api=api)
    assert "HF_TOKEN" in shown.stdout
    assert "hf_value" not in shown.stdout + shown.stderr
    assert outlast("secret", "rm", "HF_TOKEN", api=api).exit_code == 0
    assert "there are no secrets" in outlast("secret", "ls", api=api).stdout


def test_no_value_and_a_bad_name_are_one_line(outlast: Outlast, api: Api) -> None:
    empty = outlast("secret", "set", "HF_TOKEN", api=api)
    assert empty.exit_code != 0
    assert "HF_TOKEN: no value came; type it, or pipe it in" in empty.stderr
    bad = outlast("secret", "set", "a-b", api=api, answer="x")
    assert bad.exit_code != 0
    assert "can't be the name of an environment variable" in bad.stderr
    assert not (api.folder / "secrets").exists()
