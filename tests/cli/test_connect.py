"""`outlast connect storage`: what is fit is remembered, what is not says why, and is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Outlast

from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.settings import load_settings, remember_storage

BEFORE = "# mine\nport: 8443\n# where it goes\nstorage: file:///old # for now\nlimits:\n  lease_s: 900\n"


def test_what_is_fit_is_remembered_and_nothing_else_changes(outlast: Outlast, tmp_path: Path) -> None:
    home, bucket = tmp_path / "home", tmp_path / "bucket"
    home.mkdir()
    bucket.mkdir()
    (home / "controller.yaml").write_text(BEFORE)
    done = outlast("connect", "storage", bucket.as_uri(), OUTLAST_HOME=str(home))
    assert done.exit_code == 0, done.output
    assert "conditional writes" in done.stdout
    assert "jobs can run there" in done.stdout
    after = (home / "controller.yaml").read_text()
    assert after == BEFORE.replace("file:///old # for now", f'"{bucket.as_uri()}"')
    assert load_settings(home, {}).storage_url == bucket.as_uri()


@pytest.mark.parametrize(("name", "says"), [("ab sent", "mkdir -p '"), ("file", "name a folder")])
def test_what_is_not_fit_is_told_and_not_remembered(
    outlast: Outlast, tmp_path: Path, name: str, says: str
) -> None:
    home = tmp_path / "home"
    (tmp_path / "file").touch()
    done = outlast("connect", "storage", str(tmp_path / name), "--json", OUTLAST_HOME=str(home))
    assert done.exit_code == 4
    told = json.loads(done.stdout)
    assert (told["usable"], told["remembered"]) == (False, None)
    assert [(row["check"], row["verdict"]) for row in told["checks"]] == [("space", "bad")]
    assert says in told["checks"][0]["mend"]
    assert not (home / "controller.yaml").exists()


def test_only_checked_it_is_not_remembered(outlast: Outlast, tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = outlast("connect", "storage", str(tmp_path), "--only-check", OUTLAST_HOME=str(home))
    assert done.exit_code == 0
    assert not home.exists()


@pytest.mark.parametrize("url", ["bucket/x", "gcs://bucket", "s3://bucket?endpoint=http://h"])
def test_a_bad_url_is_one_line(outlast: Outlast, url: str) -> None:
    done = outlast("connect", "storage", url)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert url in done.stderr


def test_it_belongs_where_the_server_runs(outlast: Outlast, tmp_path: Path) -> None:
    done = outlast("connect", "storage", str(tmp_path), OUTLAST_URL="https://elsewhere")
    assert done.exit_code == 2
    assert "--only-check" in done.stderr


def test_the_first_settings_file_is_private(tmp_path: Path) -> None:
    file = remember_storage(tmp_path / "home", "s3://bucket/x?endpoint=https://h:1")
    assert file.stat().st_mode & 0o777 == 0o600
    assert load_settings(tmp_path / "home", {}).storage == "s3://bucket/x?endpoint=https://h:1"


def test_a_file_that_can_not_be_changed_line_by_line_stays_as_it_is(tmp_path: Path) -> None:
    text = "storage: >-\n  s3://old\nport: 1\n"
    (tmp_path / "controller.yaml").write_text(text)
    with pytest.raises(UserError, match='write there storage: "s3://new"'):
        remember_storage(tmp_path, "s3://new")
    assert (tmp_path / "controller.yaml").read_text() == text
