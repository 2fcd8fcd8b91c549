"""`outlast login`: which server commands talk to, remembered only when its token was good."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from tests.cli.conftest import Outlast
from tests.fakes.api import Api

FILE = Path("nobody-home") / "remote.json"


def test_commands_talk_to_where_a_person_logged_in(outlast: Outlast, api: Api) -> None:
    api.job("gpt")
    done = outlast("login", api.url, answer=f"{api.token}\n")
    assert done.exit_code == 0, done.stderr
    assert f"logged in to {api.url} (1 jobs there)" in done.stdout
    assert api.token not in done.stdout + done.stderr
    assert stat.S_IMODE(FILE.stat().st_mode) == 0o600
    assert [one["name"] for one in json.loads(outlast("ps", "--json").stdout)["jobs"]] == ["gpt"]
    assert outlast("ssh", "gpt").exit_code == 2
    assert f"commands talk to {api.url}: run this where it runs" in outlast("ssh", "gpt").stderr
    assert outlast("logout").exit_code == 0
    assert "no Outlast server is running here" in outlast("ps").stderr
    assert "not logged in anywhere" in outlast("logout").stderr


def test_a_wrong_token_is_not_remembered(outlast: Outlast, api: Api) -> None:
    done = outlast("login", api.url, answer="0" * 43)
    assert done.exit_code != 0
    assert "token" in done.stderr
    assert not FILE.exists()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("outlast.example", "the address is 'outlast.example': write it like https://host:port"),
        ("http://outlast.example", "without TLS the token could be read on the way"),
        ("https://me:pw@outlast.example", "the address has a user or a password in it"),
    ],
)
def test_an_address_that_can_not_be_is_one_line(outlast: Outlast, url: str, words: str) -> None:
    done = outlast("login", url, answer="x")
    assert done.exit_code == 2
    assert words in done.stderr
    assert not FILE.exists()


def test_the_environment_wins_and_a_damaged_file_is_told(outlast: Outlast, api: Api) -> None:
    FILE.parent.mkdir()
    FILE.write_text('{"url": "https://elsewhere.example"}')
    assert "is damaged: log in again" in outlast("ps").stderr
    assert outlast("ps", OUTLAST_URL=api.url, OUTLAST_TOKEN=api.token).exit_code == 0
