"""Bad input: one clear message, the documented exit status, no traceback, nothing done."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Outlast
from tests.fakes.api import Api
from typer.testing import Result

JOB_COMMANDS = [
    "status",
    "why",
    "logs",
    "events",
    "cancel",
    "pause",
    "resume",
    "admin+restart",
    "checkpoints+ls",
    "outputs+get",
    "update",
]


def _told(result: Result, status: int, *words: str) -> None:
    assert result.exit_code == status, (result.stdout, result.stderr)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


def _job_file(folder: Path, text: str = "run: python train.py\nworkdir: none\n") -> str:
    path = folder / "job.yaml"
    path.write_text(text)
    return str(path)


def _words(command: str, folder: Path, job: str) -> list[str]:
    extra = {"outputs+get": [str(folder / "out")], "update": [_job_file(folder)]}
    return [*command.split("+"), job, *extra.get(command, [])]


@pytest.mark.parametrize(
    "words",
    [
        ["ps"],
        ["status", "x"],
        ["why", "x"],
        ["logs", "x", "-f"],
        ["events", "-f"],
        ["cancel", "x"],
        ["admin", "restart", "x"],
        ["admin", "orphans"],
        ["checkpoints", "ls", "x"],
        ["outputs", "get", "x", "out"],
        ["run", "-y", "--", "true"],
    ],
)
def test_without_a_server_each_says_how_to_start_one(outlast: Outlast, words: list[str]) -> None:
    result = outlast(*words)
    _told(result, 3, "outlast server start")
    assert len(result.stderr.splitlines()) == 1


def test_a_server_that_is_gone_is_said_to_be(outlast: Outlast, api: Api) -> None:
    api.stop()
    result = outlast("ps", api=api)
    _told(result, 3, "outlast server start", api.url)


def test_a_wrong_token_is_one_line(outlast: Outlast, api: Api) -> None:
    result = outlast("ps", api=api, OUTLAST_URL=api.url, OUTLAST_TOKEN="wrong")
    _told(result, 4, "token")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("token", ["zwei worte", "schlüssel"])
def test_a_garbled_token_is_said_to_be(outlast: Outlast, api: Api, token: str) -> None:
    _told(outlast("ps", OUTLAST_URL=api.url, OUTLAST_TOKEN=token), 2, "OUTLAST_TOKEN")


def test_no_token_says_where_it_was_looked_for(outlast: Outlast, api: Api) -> None:
    _told(outlast("ps", OUTLAST_URL=api.url), 2, "token", "OUTLAST_TOKEN")


@pytest.mark.parametrize(
    "url",
    [
        "localhost:80",
        "ftp://x",
        "http://",
        "http://[::1",
        "http://127.0.0.1:x",
        "https://h\x7f",
        "https://xn--",
        f"https://{'a' * 300}",
    ],
)
def test_a_url_that_is_none_is_named(outlast: Outlast, url: str) -> None:
    result = outlast("ps", OUTLAST_URL=url, OUTLAST_TOKEN="t")
    _told(result, 2, "OUTLAST_URL")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("url", ["http://192.0.2.1:80", "http://outlast.example"])
def test_no_token_is_sent_where_others_can_read_it(outlast: Outlast, url: str) -> None:
    _told(outlast("ps", OUTLAST_URL=url, OUTLAST_TOKEN="t"), 2, "OUTLAST_URL", "TLS")


def test_a_password_in_the_url_is_not_repeated(outlast: Outlast) -> None:
    result = outlast("ps", OUTLAST_URL="https://me:hidden@outlast.example", OUTLAST_TOKEN="t")
    _told(result, 2, "OUTLAST_TOKEN")
    assert "hidden" not in result.stderr


@pytest.mark.parametrize(
    "value", ['{"url": "http://127.0.0.1:1", "pid": "y"}', '{"url": 5, "pid": 1}', "[]", "{"]
)
def test_a_damaged_note_of_the_server_is_named(outlast: Outlast, tmp_path: Path, value: str) -> None:
    home = tmp_path / "nobody-home"
    home.mkdir()
    (home / "token").write_text("t")
    (home / "server.json").write_text(value)
    for words in (["ps"], ["server", "stop"]):
        _told(outlast(*words), 2, "server.json", "is damaged")


def test_a_ca_file_that_is_missing_is_named(outlast: Outlast) -> None:
    env = {"OUTLAST_URL": "https://127.0.0.1:9", "OUTLAST_TOKEN": "t", "OUTLAST_CA_FILE": "no.pem"}
    _told(outlast("ps", **env), 2, "OUTLAST_CA_FILE", "no.pem")


@pytest.mark.parametrize("command", JOB_COMMANDS)
def test_a_job_that_does_not_exist_names_a_similar_one(
    outlast: Outlast, api: Api, tmp_path: Path, command: str
) -> None:
    api.job("gpt-small")
    result = outlast(*_words(command, tmp_path, "gpt-smal"), api=api)
    _told(result, 2, "there is no job 'gpt-smal'", "did you mean gpt-small?")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "a?b", "a%2fb", "ä b"])
def test_names_that_are_no_names_do_no_harm(outlast: Outlast, api: Api, name: str) -> None:
    _told(outlast("status", name, api=api), 2, "no job")


def test_an_unknown_command_and_an_unknown_option(outlast: Outlast) -> None:
    _told(outlast("frobnicate"), 2, "No such command", "frobnicate")
    _told(outlast("ps", "--frob"), 2, "No such option", "--frob")
    _told(outlast("status"), 2, "JOB")


@pytest.mark.parametrize("command", ["submit", "plan"])
def test_job_files_that_are_none(outlast: Outlast, api: Api, tmp_path: Path, command: str) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\x00\xff\xfe")
    (tmp_path / "empty.yaml").write_text("")
    (tmp_path / "list.yaml").write_text("- a\n")
    for name in ("missing.yaml", "binary.yaml", "empty.yaml", "list.yaml"):
        _told(outlast(command, str(tmp_path / name), api=api), 2, name)
    _told(outlast(command, str(tmp_path), api=api), 2, tmp_path.name)
    assert api.store.jobs() == []


@pytest.mark.parametrize("pair", ["novalue", "=x", ""])
def test_an_env_without_an_equals_sign(outlast: Outlast, api: Api, tmp_path: Path, pair: str) -> None:
    _told(outlast("submit", _job_file(tmp_path), "-y", "-e", pair, api=api), 2, "NAME=VALUE")
    assert api.store.jobs() == []


def test_a_name_that_is_taken(outlast: Outlast, api: Api, tmp_path: Path) -> None:
    api.job("gpt")
    file = _job_file(tmp_path, "name: gpt\nrun: 'true'\n")
    result = outlast("submit", file, "-y", api=api)
    _told(result, 2, "'gpt' is not over yet", "outlast update gpt")
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "bucket" / "jobs").exists(), "nothing is sent for a job that can't be"


def test_an_attempt_that_does_not_exist(outlast: Outlast, api: Api) -> None:
    api.attempt(api.job("gpt"), 3)
    _told(outlast("logs", "gpt", "--attempt", "99", api=api), 2, "no attempt 99", "3 to 3")
    _told(outlast("logs", "gpt", "--attempt", "0", api=api), 2, "--attempt")
    _told(outlast("logs", "gpt", "--attempt", "x", api=api), 2, "--attempt")


def test_force_without_a_backup_is_a_mistake(outlast: Outlast) -> None:
    for words in (["server", "start", "-f"], ["server", "start", "-d", "-f"]):
        _told(outlast(*words), 2, "--from-backup")


def test_outputs_into_a_file(outlast: Outlast, api: Api, tmp_path: Path) -> None:
    api.job("gpt")
    (tmp_path / "out").write_text("mine")
    _told(outlast("outputs", "get", "gpt", str(tmp_path / "out"), api=api), 2, "is a file")


def test_nobody_answers_the_question(outlast: Outlast, api: Api, tmp_path: Path) -> None:
    result = outlast("submit", _job_file(tmp_path), api=api, answer="")
    assert result.exit_code == 2
    assert "add -y" in result.stderr
    assert api.store.jobs() == []


def test_a_page_that_is_no_outlast_server(outlast: Outlast, api: Api) -> None:
    env = {"OUTLAST_URL": f"{api.url}/elsewhere", "OUTLAST_TOKEN": "t"}
    result = outlast("ps", **env)
    _told(result, 2, "Not Found")
