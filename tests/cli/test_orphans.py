"""`outlast admin orphans`: what it shows, what it ends, and what it never does unasked."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.cli.conftest import Outlast
from tests.fakes.api import STRAY, Api

from outlast_orchestrator.core.view import Orphan, Strays

UNLISTED = Strays((), ("here/r2: the region does not answer",))


def test_they_are_shown_with_the_reason_and_nothing_is_ended(outlast: Outlast, api: Api) -> None:
    shown = outlast("admin", "orphans", api=api, COLUMNS="200").stdout
    assert "i-stray" in shown
    assert "its job is not known here" in shown
    assert api.ended == []


def test_a_region_that_can_not_be_listed_is_not_taken_for_empty(outlast: Outlast, api: Api) -> None:
    api.strays = UNLISTED
    result = outlast("admin", "orphans", api=api)
    assert result.exit_code == 4
    assert "every machine" not in result.stdout
    assert "nothing is known there: here/r2: the region does not answer" in result.stderr


def test_they_are_ended_after_a_question(outlast: Outlast, api: Api) -> None:
    no = outlast("admin", "orphans", "--terminate", api=api, answer="n\n")
    assert (no.exit_code, api.ended) == (130, [])
    nobody = outlast("admin", "orphans", "--terminate", api=api, answer="")
    assert nobody.exit_code == 2
    assert "add -y" in nobody.stderr
    assert api.ended == []
    yes = outlast("admin", "orphans", "--terminate", api=api, answer="y\n")
    assert "i-stray: its cloud is told to end it" in yes.stdout
    assert [one for one, _ in api.ended] == ["i-stray"]
    assert api.ended[0][1], "who wanted it"


def test_only_what_was_shown_is_ended_and_what_is_left_is_said(outlast: Outlast, api: Api) -> None:
    other = Orphan(replace(STRAY, id="i-other"), False, "no record names it")
    api.strays = Strays((*api.strays.found, other))
    result = outlast("admin", "orphans", "--terminate", "-y", "--json", api=api)
    assert result.exit_code == 4
    ended = json.loads(result.stdout)["ended"]
    assert ended == [
        {"id": "i-stray", "refused": ""},
        {"id": "i-other", "refused": "the cloud said no"},
    ]


def test_nothing_to_end_asks_nothing(outlast: Outlast, api: Api) -> None:
    api.strays = Strays()
    result = outlast("admin", "orphans", "--terminate", api=api)
    assert (result.exit_code, api.ended) == (0, [])
    assert "no orphans" in result.stdout
