"""Keys for the bucket over the API: a node gets those of its own job, and of no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes.api import Api, running_api
from tests.fakes.credentials import ListedKeys

from outlast.node.report import HttpLink
from outlast.ports import Denied, LinkDown, LinkRefused, Unsure
from outlast_orchestrator.core.types import InstancePhase


def link(api: Api, token: str, instance: str = "launch-1") -> HttpLink:
    return HttpLink(api.url, token, instance)


def test_a_node_gets_keys_of_its_own_job(tmp_path: Path) -> None:
    source = ListedKeys()
    with running_api(tmp_path, credentials=source) as api:
        job = api.job()
        keys = link(api, api.instance(job)).bucket_keys()
    assert source.asked == [(job.storage, job.id)]
    assert (keys.options, keys.life_s) == ({"access_key_id": f"of-{job.id}"}, 60.0)


def test_nobody_else_gets_them(tmp_path: Path) -> None:
    source = ListedKeys()
    with running_api(tmp_path, credentials=source) as api:
        job = api.job()
        token = api.instance(job)
        other = api.instance(api.job("other", "00000000000000b2"), "launch-2")
        for wrong, launch in (
            (other, "launch-1"),
            (token, "launch-2"),
            (api.token, "launch-1"),
            ("x", "launch-1"),
        ):
            with pytest.raises(LinkRefused):
                link(api, wrong, launch).bucket_keys()
    assert source.asked == []


def test_a_machine_that_is_gone_gets_none(tmp_path: Path) -> None:
    source = ListedKeys()
    with running_api(tmp_path, credentials=source) as api:
        token = api.instance(api.job(), phase=InstancePhase.GONE)
        with pytest.raises(LinkRefused):
            link(api, token).bucket_keys()
    assert source.asked == []


@pytest.mark.parametrize("error", [Denied("the role can't be assumed: AccessDenied"), Unsure("not reached")])
def test_why_there_are_none_reaches_the_node(tmp_path: Path, error: Denied | Unsure) -> None:
    with (
        running_api(tmp_path, credentials=ListedKeys(error)) as api,
        pytest.raises(LinkDown, match=str(error)),
    ):
        link(api, api.instance(api.job())).bucket_keys()


def test_a_server_that_gives_none_says_what_to_set(api: Api) -> None:
    with pytest.raises(LinkRefused, match="set storage_keys"):
        link(api, api.instance(api.job())).bucket_keys()
