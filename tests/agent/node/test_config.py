"""A configuration that is wrong costs one line and exit status 2, and never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from outlast.config import ConfigError, read_config

GOOD = {
    "api_url": "http://127.0.0.1:1",
    "token": "t",
    "job": "j",
    "owner": "o",
    "instance": "l",
    "storage": "file:///b",
}


def write(path: Path, value: Any) -> Path:
    file = path / "agent.json"
    file.write_text(value if isinstance(value, str) else json.dumps(value))
    file.chmod(0o600)
    return file


def test_the_home_is_the_folder_of_the_file_and_the_switch_is_the_environments(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, GOOD), {"OUTLAST_POWEROFF": "/bin/off"})
    assert (config.home, config.poweroff) == (str(tmp_path), ("/bin/off",))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("", "not JSON"),
        ("[]", "expected an object"),
        ({**GOOD, "token": ""}, "token is empty"),
        ({**GOOD, "lease_s": 0}, "lease_s must be more than 0"),
        ({**GOOD, "over_off_s": 0}, "over_off_s must be more than 0"),
        ({**GOOD, "fenced_off_s": -1}, "fenced_off_s must be more than 0"),
        ({**GOOD, "lease_s": "long"}, "lease_s: expected a number"),
        ({name: GOOD[name] for name in GOOD if name != "job"}, "job: missing"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, value: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read_config(write(tmp_path, value), {})


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_config(file, {})


@pytest.mark.parametrize(
    "changes", [{"token": ""}, {"api_url": "nonsense"}, {"storage": "nonsense"}, {"home": "/proc/no/such"}]
)
def test_one_line_and_status_2(tmp_path: Path, changes: dict[str, str]) -> None:
    file = write(tmp_path, {**GOOD, **changes})
    done = subprocess.run(
        [sys.executable, "-I", "-m", "outlast", "--config", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("outlast: ")
    assert done.stderr.count("\n") == 1
