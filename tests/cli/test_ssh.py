"""`outlast ssh`: who has no way onto a machine is told why; where it leads is tested on real machines."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.cli.conftest import Outlast
from tests.fakes.api import OFFER, Api

from outlast_orchestrator.cli.shell import Visit, visit
from outlast_orchestrator.core.types import InstancePhase, JobState, LaunchRequest


def _told(api: Api, outlast: Outlast, *words: str, **env: str) -> str:
    result = outlast("ssh", *words, api=api, **env)
    assert result.exit_code == 2, result.stderr
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_a_job_without_a_machine(api: Api, outlast: Outlast) -> None:
    job = api.job("gpt")
    api.state(job, JobState.PENDING, "no capacity")
    assert "gpt has no machine now: it is PENDING, no capacity" in _told(api, outlast, "gpt")
    api.instance(job, phase=InstancePhase.GONE)
    api.attempt(job, launches=("launch-1",))
    assert "gpt has no machine now" in _told(api, outlast, "gpt")


def test_a_rank_that_is_not_there(api: Api, outlast: Outlast) -> None:
    job = api.job("gpt")
    api.instance(job)
    api.attempt(job, launches=("launch-1",))
    assert "gpt has no machine of rank 3 now" in _told(api, outlast, "--rank", "3", "gpt")


def test_our_options_may_stand_behind_the_job(api: Api, outlast: Outlast) -> None:
    job = api.job("gpt")
    api.instance(job)
    api.attempt(job, launches=("launch-1",))
    assert "gpt has no machine of rank 3 now" in _told(api, outlast, "gpt", "--rank", "3")
    told = _told(api, outlast, "gpt", "-L", "80", "--rank", "2", "ls", "-l")
    assert "gpt has no machine of rank 2 now" in told


def test_what_belongs_to_the_command_stays_with_it() -> None:
    assert visit(["ls", "--rank", "3"], 1) == Visit(("ls", "--rank", "3"), 1)
    assert visit(["--", "--rank", "3"]) == Visit(("--rank", "3"))
    assert visit(["-L", "80", "--rank", "2", "--", "-L"], 0, [90]) == Visit(("-L",), 2, (90, 80))


@pytest.mark.parametrize(
    ("words", "told"),
    [(["--rank"], "wants a number"), (["-L", "web"], "wants a number"), (["-L", "70000"], "from 1 to 65535")],
)
def test_a_bad_option_is_one_line(api: Api, outlast: Outlast, words: list[str], told: str) -> None:
    assert told in _told(api, outlast, "gpt", *words)


def test_a_machine_without_an_address_or_of_a_cloud_that_is_not_known_here(
    api: Api, outlast: Outlast
) -> None:
    job = api.job("gpt")
    api.instance(job)
    api.attempt(job, launches=("launch-1",))
    assert "i-launch-1 has no address yet, or its cloud is not configured here" in _told(api, outlast, "gpt")


def test_a_machine_that_is_a_session_on_this_computer(api: Api, outlast: Outlast) -> None:
    job = api.job("gpt")
    offer = replace(OFFER, cloud="local")
    request = LaunchRequest("t", "launch-1", job.owner, job.id, offer, 100, 86400.0)
    api.instance(job, request=request, address="127.0.0.1")
    api.attempt(job, launches=("launch-1",))
    told = _told(api, outlast, "gpt")
    assert "only a session on this computer" in told
    assert str(api.home()) in told


def test_a_server_elsewhere_has_the_keys(api: Api, outlast: Outlast) -> None:
    assert "run this where it runs" in _told(api, outlast, "gpt", OUTLAST_URL="https://outlast.example")


def test_a_job_that_does_not_exist(api: Api, outlast: Outlast) -> None:
    assert outlast("ssh", "nobody", api=api).exit_code != 0
