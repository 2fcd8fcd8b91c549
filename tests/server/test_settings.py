"""Settings: the commented file is the documentation, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.settings import Settings, home_folder, load_settings

COMMENTED = Path(__file__).parents[2] / "configs" / "controller.yaml"


def test_the_commented_file_shows_every_key_with_its_default(tmp_path: Path) -> None:
    shown = yaml.safe_load(COMMENTED.read_text("utf-8"))
    default = Settings(home=tmp_path).model_dump(mode="json", exclude={"home"})
    assert shown == default


def test_without_a_file_everything_lies_in_the_home_folder(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {})
    assert settings.store_url == f"sqlite:///{tmp_path}/outlast.db"
    assert settings.storage_url == f"file://{tmp_path}/bucket"
    assert settings.host == "127.0.0.1"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "controller.yaml").write_text("port: 1234\nstorage: s3://a/b\n")
    settings = load_settings(tmp_path, {"OUTLAST_PORT": "4321"})
    assert (settings.port, settings.storage) == (4321, "s3://a/b")


def test_the_home_folder(tmp_path: Path) -> None:
    assert home_folder({"OUTLAST_HOME": str(tmp_path)}) == tmp_path
    assert home_folder({}).name == ".outlast"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"store: ''\nprot: 1", "controller.yaml:2: prot: no such key; did you mean port?"),
        (b"frobnicate: 1", "controller.yaml:1: frobnicate: no such key; there are api_url, "),
        (b"port: many", "port: "),
        (b"port: 70000", "port: "),
        (b"limits: {lease_s: -1}", "limits.lease_s: "),
        (b"limits:\n  lease: 1", "controller.yaml:2: limits.lease: no such key; did you mean lease_s?"),
        (b"limits: 5", "controller.yaml:1: limits: "),
        (b"store: 'sqlite:///'", "controller.yaml:1: store: would be in memory"),
        (b"store: 'sqlite:///:memory:'", "store: would be in memory"),
        (b"api_url: nodes-go-here", "api_url: is no address; write it like https://host:port"),
        (b"api_url: http://[::1", "api_url: "),
        (b"api_url: http://outlast.example:80", "api_url: without TLS"),
        (b"- a\n- b\n", "found a list"),
        (b"port: 1\na: [1", "controller.yaml:2: not YAML: "),
        (b"a: \x07", "not YAML"),
        (b"\xff\xfe\x00", "can't be read"),
        (b"home: /tmp", "OUTLAST_HOME"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path: Path, text: bytes, words: str) -> None:
    (tmp_path / "controller.yaml").write_bytes(text)
    with pytest.raises(UserError) as error:
        load_settings(tmp_path, {})
    assert words in str(error.value)
    assert "controller.yaml" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_bad_variable_is_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^OUTLAST_PORT: port: "):
        load_settings(tmp_path, {"OUTLAST_PORT": "x"})
