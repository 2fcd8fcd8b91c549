"""The link against a real HTTP server: what is an answer, what is refused, what only failed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.agent.node.agent_kit import TOKEN, Controller, assign

from outlast.node.report import HttpLink
from outlast.ports import LinkDown, LinkRefused
from outlast.protocol.messages import AgentState, Permission, Report

REPORT = Report("j", 0, 0, "l-1", "b", 1, AgentState.IDLE)


@pytest.fixture
def controller() -> Iterator[Controller]:
    controller = Controller()
    yield controller
    controller.close()


def test_a_report_brings_the_commands(controller: Controller) -> None:
    controller.tell(assign(3, "true"), run=Permission())
    reply = HttpLink(controller.url, TOKEN, "l-1").report(REPORT)
    assert [command.generation for command in reply.commands] == [3, 3]
    assert controller.reports == [REPORT]


def test_a_hanging_request_remembers_what_it_has_seen(controller: Controller) -> None:
    controller.tell(assign(3, "true"))
    link = HttpLink(controller.url, TOKEN, "l-1")
    first = link.hang(1.0)
    assert first is not None
    controller.tell(assign(4, "true"))
    second = link.hang(1.0)
    assert second is not None
    assert [command.generation for command in second.commands] == [4]


def test_a_wrong_token_is_refused(controller: Controller) -> None:
    with pytest.raises(LinkRefused, match="401"):
        HttpLink(controller.url, "wrong", "l-1").report(REPORT)


def test_a_server_in_trouble_is_only_down(controller: Controller) -> None:
    controller.silent = True
    with pytest.raises(LinkDown, match="503"):
        HttpLink(controller.url, TOKEN, "l-1").report(REPORT)


def test_nobody_there_is_down() -> None:
    with pytest.raises(LinkDown):
        HttpLink("http://127.0.0.1:1", TOKEN, "l-1").report(REPORT)


@pytest.mark.parametrize("url", ["", "ftp://host", "host:80", "http://"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ValueError, match="no http or https address"):
        HttpLink(url, TOKEN, "l-1")
