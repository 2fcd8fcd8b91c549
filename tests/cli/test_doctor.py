"""`outlast doctor`: what is wrong with each cloud, and how to mend it."""

from __future__ import annotations

import json

from tests.cli.conftest import Outlast
from tests.fakes.api import Api

from outlast_orchestrator.web.services import CloudCheck

FIT = CloudCheck("one", "SSH to port 22; its machines report to https://outlast.example", ())
UNFIT = CloudCheck("two", "SSH", ("there is no zone z: mend providers.two", "no right to list machines"))


def test_clouds_that_can_be_used(api: Api, outlast: Outlast) -> None:
    api.clouds = [FIT]
    result = outlast("doctor", api=api)
    assert result.exit_code == 0
    assert "ok" in result.stdout
    assert "SSH to port 22" in result.stdout
    assert "outlast connect storage" in result.stdout


def test_one_that_can_not_is_told_with_every_problem(api: Api, outlast: Outlast) -> None:
    api.clouds = [FIT, UNFIT]
    result = outlast("doctor", api=api)
    assert result.exit_code == 4
    told = " ".join(result.stdout.split())
    for problem in UNFIT.problems:
        assert problem in told


def test_as_json(api: Api, outlast: Outlast) -> None:
    api.clouds = [UNFIT]
    result = outlast("doctor", "--json", api=api)
    assert result.exit_code == 4
    assert json.loads(result.stdout)["clouds"][0]["problems"] == list(UNFIT.problems)


def test_without_any_cloud(api: Api, outlast: Outlast) -> None:
    result = outlast("doctor", api=api)
    assert result.exit_code == 4
    assert "name one under `providers:`" in result.stdout
