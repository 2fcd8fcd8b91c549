"""Secrets over the API: values go in and come out to the job's own node alone."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.api import Api

from outlast.node.report import HttpLink
from outlast.ports import LinkRefused
from outlast.protocol.messages import Work
from outlast_orchestrator.core.errors import UserError
from outlast_orchestrator.core.types import Job
from outlast_orchestrator.store.secrets import SecretFiles

VALUE = "hf_abcdefghijkl"


def wants(api: Api, *names: str, **more: Any) -> Job:
    work = Work(name="gpt", owner=api.store.owner(), revision=1, run="python train.py", secrets=names)
    return api.job(work=work, **more)


def keep(api: Api, name: str = "HF_TOKEN", value: str = VALUE) -> None:
    with api.client() as http:
        assert http.put(f"/v1/secrets/{name}", json={"value": value}).status_code == 200


def test_a_value_goes_in_and_only_its_name_is_shown(api: Api) -> None:
    keep(api)
    wants(api, "HF_TOKEN")
    with api.client() as http:
        shown = http.get("/v1/secrets")
    assert shown.json() == {"secrets": [{"name": "HF_TOKEN", "kept": "file", "jobs": ["gpt"]}]}
    file = api.folder / "secrets" / "HF_TOKEN"
    assert file.read_text() == VALUE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert VALUE.encode() not in (api.folder / "outlast.db").read_bytes()


def test_a_node_gets_what_its_job_names_and_nothing_else(api: Api) -> None:
    keep(api)
    keep(api, "OTHER", "of another job")
    token = api.instance(wants(api, "HF_TOKEN"))
    assert HttpLink(api.url, token, "launch-1").secrets() == {"HF_TOKEN": VALUE}
    with pytest.raises(LinkRefused):
        HttpLink(api.url, api.token, "launch-1").secrets()
    with pytest.raises(LinkRefused):
        HttpLink(api.url, token, "launch-2").secrets()
    with api.client(token) as http:
        assert http.get("/v1/secrets").status_code == 403, "a node's token is for its own job"
        assert http.put("/v1/secrets/HF_TOKEN", json={"value": "x"}).status_code == 403


def test_one_that_is_missing_is_told_before_a_machine_is_paid_for(api: Api) -> None:
    spec = {"run": "true", "workdir": "none", "secrets": ["HF_TOKEN"]}
    with api.client() as http:
        asked = {"name": "gpt", "spec": spec}
        answers = [http.post("/v1/plan", json=asked), http.post("/v1/jobs", json={**asked, "id": "a" * 16})]
    for answer in answers:
        assert answer.status_code == 400
        assert answer.json()["error"] == (
            "there is no secret HF_TOKEN on the server; `outlast secret set HF_TOKEN` makes one"
        )
    keep(api)
    with api.client() as http:
        assert http.post("/v1/plan", json=asked).status_code == 200


def test_one_that_was_removed_stops_the_next_start_with_its_name(api: Api) -> None:
    keep(api)
    token = api.instance(wants(api, "HF_TOKEN"))
    with api.client() as http:
        assert http.delete("/v1/secrets/HF_TOKEN").status_code == 200
        assert http.delete("/v1/secrets/HF_TOKEN").status_code == 404
    with pytest.raises(LinkRefused, match="there is no secret HF_TOKEN on the server"):
        HttpLink(api.url, token, "launch-1").secrets()


@pytest.mark.parametrize("name", ["a b", "../x", "OUTLAST_TOKEN", "1A"])
def test_a_name_that_no_variable_may_have_is_refused(api: Api, name: str) -> None:
    with api.client() as http:
        assert http.put(f"/v1/secrets/{name}", json={"value": "x"}).status_code in (400, 404)
    assert not (api.folder / "secrets").exists()


def test_the_server_s_environment_does_as_well_and_a_file_wins(tmp_path: Path) -> None:
    files = SecretFiles(tmp_path, {"OUTLAST_SECRET_A": "from there", "OUTLAST_SECRET_B": "too", "PATH": "/"})
    files.set("B", "from a file")
    assert files.names() == {"A": "environment", "B": "file"}
    assert files.values(("A", "B")) == {"A": "from there", "B": "from a file"}
    with pytest.raises(UserError, match="there is no secret C"):
        files.values(("C",))


@pytest.mark.parametrize("value", ["", "a\0b", "x" * 65_537])
def test_what_no_environment_can_hold_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(UserError, match="a secret has 1 to 65536 characters"):
        SecretFiles(tmp_path, {}).set("A", value)
