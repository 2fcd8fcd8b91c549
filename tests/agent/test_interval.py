"""`every: auto`: what a save costs against what a loss costs, with bounds, and always with the reason."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tests.agent.loop.scene import Scene, only

from outlast.acts import AskSave
from outlast.facts import CADENCE_CHANGED
from outlast.interval import FIRST_S, LEAST_S, MOST_S, Measured, choose, notable
from outlast.news import Tick, TrainerLooked
from outlast.node_ports import TrainerProgress
from outlast.protocol.messages import CheckpointPlan
from outlast.telling import build_report

HOUR_S = 3600.0
MEASURED = Measured(stall_s=30.0, upload_s=20.0, age_s=0.0, market="spot")


def test_the_interval_is_youngs() -> None:
    chosen = choose(MEASURED)
    assert chosen.every_s == pytest.approx(math.sqrt(2 * 30.0 * HOUR_S))
    assert "a save takes 30.0 s" in chosen.why
    assert "lost about every 1.0 h" in chosen.why


def test_a_young_spot_machine_saves_more_often_than_an_old_one_and_that_more_than_on_demand() -> None:
    ages = [choose(replace(MEASURED, age_s=hours * HOUR_S)).every_s for hours in (0, 0.6, 1.5, 3, 9, 20)]
    assert ages == sorted(ages)
    assert ages[-1] > 3 * ages[0]
    assert choose(replace(MEASURED, market="on-demand")).every_s > ages[-1]


def test_never_more_often_than_an_upload_takes() -> None:
    chosen = choose(replace(MEASURED, stall_s=1.0, upload_s=700.0))
    assert chosen.every_s == 700.0
    assert "an upload takes 700 s" in chosen.why


def test_it_has_bounds_and_says_so() -> None:
    assert choose(replace(MEASURED, stall_s=0.0, upload_s=1.0)).every_s == LEAST_S
    most = choose(replace(MEASURED, stall_s=900.0, market="on-demand"))
    assert most.every_s == MOST_S
    assert "never more than" in most.why
    assert choose(replace(MEASURED, upload_s=9e9)).every_s == MOST_S


def test_the_first_save_shows_what_one_costs() -> None:
    assert choose(replace(MEASURED, stall_s=None)).every_s == FIRST_S


def test_what_the_trainer_tells_of_its_stall_counts_more_than_the_time_of_a_save() -> None:
    assert "stalls the training" in choose(replace(MEASURED, told=True)).why


def test_only_a_notable_change_is_told() -> None:
    assert notable(None, 100.0)
    assert not notable(100.0, 120.0)
    assert notable(100.0, 130.0)
    assert notable(130.0, 100.0)


def test_the_agent_asks_by_it_and_tells_it() -> None:
    scene = Scene().running()
    assert scene.view.assignment is not None
    work = replace(scene.view.assignment.work, checkpoint=CheckpointPlan(auto=True))
    scene.view = replace(scene.view, assignment=replace(scene.view.assignment, work=work))
    begun_s = scene.view.now_s
    scene.view = replace(scene.view, now_s=begun_s + FIRST_S + 1.0)
    asked = only(scene.hear(Tick()), AskSave)
    assert "no save was measured yet" in asked.why
    assert [fact.kind for fact in scene.view.telling.facts].count(CADENCE_CHANGED) == 1
    assert scene.view.assignment is not None
    generation = scene.view.assignment.generation
    scene.hear(TrainerLooked(generation, None, TrainerProgress(step=5, stall_s=30.0)))
    status = build_report(scene.view, "").save
    assert status.stall_s == 30.0
    assert status.every_s == pytest.approx(math.sqrt(2 * 30.0 * HOUR_S))
    assert "stalls the training 30.0 s" in status.every_why
