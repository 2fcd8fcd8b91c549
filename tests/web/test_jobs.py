"""People's side: what is asked for is done once, told whole, and refused in one line."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from tests.fakes.api import Api

from outlast_orchestrator.core.events import Event, Kind
from outlast_orchestrator.core.types import Closing, JobState, Wanted
from outlast_orchestrator.web.limits import JSON_BYTES_MAX

SPEC = {"run": "python train.py", "resources": {"market": "spot"}}
CODE = b"packed"
DIGEST = hashlib.sha256(CODE).hexdigest()


def _get(api: Api, path: str) -> dict[str, Any]:
    with api.client() as http:
        answer = http.get(path)
    assert answer.status_code == 200, answer.text
    value: dict[str, Any] = answer.json()
    return value


def _post(api: Api, path: str, body: dict[str, Any], status: int = 200) -> dict[str, Any]:
    with api.client() as http:
        answer = http.post(path, json=body)
    assert answer.status_code == status, answer.text
    value: dict[str, Any] = answer.json()
    return value


def test_health_needs_no_token_and_names_the_process(api: Api) -> None:
    with api.client("none") as http:
        value = http.get("/v1/health").json()
    assert value["ok"] is True
    assert value["pid"] > 0


def test_a_plan_shows_the_cheapest_and_starts_nothing(api: Api) -> None:
    plan = _post(api, "/v1/plan", {"name": "gpt", "spec": SPEC})
    assert plan["first"]["zone"] == "r1-a"
    assert [o["price_usd_h"] for o in plan["offers"]] == [0.30, 0.50]
    assert plan["saves_against_on_demand"] == pytest.approx(0.7)
    assert api.store.jobs() == []
    assert api.woken == 0


def test_a_plan_without_a_fitting_machine_says_why(api: Api) -> None:
    spec = {**SPEC, "resources": {"price_max_usd_h": 0.1}}
    plan = _post(api, "/v1/plan", {"name": "gpt", "spec": spec})
    assert plan["first"] is None
    assert "0.300" in plan["why"]


def test_a_job_is_submitted_once_however_often_it_is_sent(api: Api) -> None:
    plan = _post(api, "/v1/plan", {"name": "gpt", "spec": SPEC})
    with api.client() as http:
        assert http.put(f"/v1/jobs/{plan['id']}/code/{DIGEST}", content=CODE).status_code == 200
    body = {"id": plan["id"], "name": "gpt", "spec": SPEC, "code": f"code/{DIGEST}", "by": "me@here"}
    _post(api, "/v1/jobs", body)
    _post(api, "/v1/jobs", body)
    (job,) = api.store.jobs()
    assert (job.id, job.name, job.work.code) == (plan["id"], "gpt", f"code/{DIGEST}")
    assert api.bucket(job.id).get(f"code/{DIGEST}").body == CODE
    assert api.woken == 1
    (event,) = api.store.events(job.id, 0, 10)
    assert (event.kind, event.why) == (Kind.JOB_SUBMITTED, "submitted by me@here")


def test_a_job_whose_code_has_not_arrived_is_refused(api: Api) -> None:
    body = {"id": "0" * 16, "name": "gpt", "spec": SPEC, "code": f"code/{DIGEST}"}
    assert "has not arrived" in _post(api, "/v1/jobs", body, 400)["error"]
    assert api.store.jobs() == []


def test_the_name_of_a_living_job_is_taken(api: Api) -> None:
    api.job("gpt")
    assert "gpt" in _post(api, "/v1/jobs", {"id": "1" * 16, "name": "gpt", "spec": SPEC}, 400)["error"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"id": "../../etc", "name": "x", "spec": SPEC}, "id"),
        ({"id": "0" * 16, "name": "x", "spec": []}, "spec"),
        ({"id": "0" * 16, "name": "x", "spec": {"run": "x", "frobnicate": 1}}, "frobnicate"),
        ({"id": "0" * 16, "name": "x", "spec": SPEC, "code": "code/../latest.json"}, "code"),
        ({"id": "0" * 16, "name": "x", "spec": SPEC, "more": 1}, "more"),
        ({"id": "0" * 16, "name": "../x", "spec": SPEC}, "no name"),
        ({"id": "0" * 16, "name": "x\x1b[31m", "spec": SPEC}, "no name"),
    ],
)
def test_bad_submissions_name_what_is_wrong(api: Api, body: dict[str, Any], says: str) -> None:
    error = _post(api, "/v1/jobs", body, 400)["error"]
    assert says in error
    assert "\n" not in error
    assert "Traceback" not in error


def test_code_goes_nowhere_but_to_a_job_and_its_hash(api: Api) -> None:
    with api.client() as http:
        for path in (f"/v1/jobs/x/code/{DIGEST}", f"/v1/jobs/{'0' * 16}/code/latest.json"):
            assert http.put(path, content=CODE).status_code == 400, path


def test_a_body_that_is_too_large_is_refused(api: Api) -> None:
    with api.client() as http:
        answer = http.post("/v1/plan", content=b" " * (JSON_BYTES_MAX + 1))
    assert answer.status_code == 413


@pytest.mark.parametrize("path", ["/v1/jobs/code/restart", "/v1/jobs/code/spec"])
def test_a_job_that_is_called_code_takes_no_larger_bodies(api: Api, path: str) -> None:
    """These are read before the token is looked at."""
    with api.client("none") as http:
        answer = http.put(path, content=b"[" + b" " * JSON_BYTES_MAX)
    assert answer.status_code == 413


def test_what_is_not_json_is_said_to_be_none(api: Api) -> None:
    with api.client() as http:
        answer = http.post("/v1/plan", content=b"{", headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert "JSON" in answer.json()["error"]


def test_status_tells_everything(api: Api) -> None:
    job = api.job()
    api.instance(job)
    api.attempt(job, 1, closing=Closing("taken by the market", "interrupted", ("cloud", "agent")))
    api.state(job, JobState.RUNNING, "the trainer steps", generation_max=1)
    found = _get(api, "/v1/jobs/gpt")
    assert (found["id"], found["state"], found["why"]) == (job.id, "RUNNING", "the trainer steps")
    assert found["age_s"] >= 0
    assert found["next_wake_s"] == 7.0
    assert found["attempts"][0]["closed"]["witnesses"] == ["cloud", "agent"]
    assert found["instances"][0]["zone"] == "r1-a"
    assert found["cost"]["usd"] == pytest.approx(0.30, abs=0.01)
    assert found["cost"]["on_demand_usd"] == pytest.approx(1.00, abs=0.01)
    assert found["durable"] is None
    assert _get(api, "/v1/jobs")["jobs"][0]["name"] == "gpt"


def test_an_unknown_job_names_similar_ones(api: Api) -> None:
    api.job("gpt-small")
    with api.client() as http:
        answer = http.get("/v1/jobs/gpt-smal")
    assert answer.status_code == 404
    assert answer.json()["error"] == "there is no job 'gpt-smal'; did you mean gpt-small?"


def test_pause_and_resume_are_wishes_that_wake_the_tick(api: Api) -> None:
    job = api.job()
    assert _post(api, "/v1/jobs/gpt/pause", {"by": "me@here"})["changed"] is True
    assert _post(api, "/v1/jobs/gpt/pause", {})["changed"] is False
    wished = api.store.job(job.id)
    assert wished is not None
    assert (wished.wanted, wished.wanted_number) == (Wanted.PAUSED, 1)
    assert api.woken == 1
    assert _post(api, "/v1/jobs/gpt/resume", {})["changed"] is True
    wished = api.store.job(job.id)
    assert wished is not None
    assert (wished.wanted, wished.wanted_number) == (Wanted.RUN, 2)
    whys = [e.why for e in api.store.events(job.id, 0, 10)]
    assert whys == ["submitted by a test", "paused by me@here", "resumed by someone"]


def test_a_failed_job_is_resumed_by_a_new_wish(api: Api) -> None:
    job = api.job()
    api.state(job, JobState.FAILED, "crashed", failed_number=0)
    assert _post(api, "/v1/jobs/gpt/resume", {})["changed"] is True
    wished = api.store.job(job.id)
    assert wished is not None
    assert wished.wanted_number == 1


@pytest.mark.parametrize(
    ("state", "what"),
    [
        (JobState.SUCCEEDED, "cancel"),
        (JobState.SUCCEEDED, "pause"),
        (JobState.SUCCEEDED, "resume"),
        (JobState.CANCELLED, "pause"),
        (JobState.CANCELLED, "resume"),
    ],
)
def test_wishes_that_make_no_sense_are_refused(api: Api, state: JobState, what: str) -> None:
    job = api.job()
    api.state(job, state, "over")
    assert "gpt" in _post(api, f"/v1/jobs/gpt/{what}", {}, 400)["error"]
    assert api.store.job(job.id) == job


def test_a_restart_counts_and_wants_the_job_to_run(api: Api) -> None:
    job = api.job(wanted=Wanted.PAUSED)
    with api.client() as http:
        assert http.put("/v1/jobs/gpt/restart", json={"now": True}).status_code == 200
    wished = api.store.job(job.id)
    assert wished is not None
    assert (wished.restart.number, wished.restart.now, wished.wanted) == (1, True, Wanted.RUN)


def test_an_update_is_the_next_revision_of_the_same_job(api: Api) -> None:
    job = api.job()
    api.state(job, JobState.FAILED, "crashed")
    with api.client() as http:
        spec = {**SPEC, "env": {"LR": "0.1"}}
        assert http.put("/v1/jobs/gpt/spec", json={"spec": spec, "by": "me"}).status_code == 200
    revised = api.store.job(job.id)
    assert revised is not None
    assert (revised.revision, revised.work.revision, revised.work.env["LR"]) == (2, 2, "0.1")
    assert (revised.name, revised.created_at, revised.wanted_number) == (job.name, job.created_at, 1)
    assert api.store.last_events(job.id, 1)[0].kind is Kind.JOB_UPDATED


def test_an_update_with_the_file_of_another_job_is_refused(api: Api) -> None:
    api.job()
    with api.client() as http:
        answer = http.put("/v1/jobs/gpt/spec", json={"spec": {**SPEC, "name": "bert"}})
    assert answer.status_code == 400
    assert "bert" in answer.json()["error"]


def test_events_come_in_order_and_go_on_after_a_number(api: Api) -> None:
    job = api.job()
    api.commit(events=tuple(Event(Kind.TELL, f"word {n}", job=job.id) for n in range(4)))
    first = _get(api, "/v1/jobs/gpt/events?limit=2")
    rest = _get(api, f"/v1/jobs/gpt/events?after={first['after']}")
    whys = [e["why"] for e in [*first["events"], *rest["events"]]]
    assert whys == ["submitted by a test", "word 0", "word 1", "word 2", "word 3"]
    assert [e["why"] for e in _get(api, "/v1/jobs/gpt/events?last=1")["events"]] == ["word 3"]
    assert _get(api, f"/v1/jobs/gpt/events?after={rest['after']}")["events"] == []
    assert len(_get(api, "/v1/events")["events"]) == 5
    assert [e["why"] for e in _get(api, "/v1/events?last=2")["events"]] == ["word 2", "word 3"]


def test_a_number_that_no_store_can_hold_is_bad_input(api: Api) -> None:
    with api.client() as http:
        assert http.get(f"/v1/events?after={10**30}").status_code == 400


def test_followed_events_wait_for_the_next(api: Api) -> None:
    job = api.job()
    after = _get(api, "/v1/jobs/gpt/events")["after"]
    api.commit(events=(Event(Kind.TELL, "later", job=job.id),))
    found = _get(api, f"/v1/jobs/gpt/events?after={after}&wait=20")
    assert [e["why"] for e in found["events"]] == ["later"]


def test_orphans_are_what_the_clouds_list_and_nobody_owns(api: Api) -> None:
    (orphan,) = _get(api, "/v1/orphans")["orphans"]
    assert (orphan["id"], orphan["state"]) == ("i-stray", "running")


def test_an_unknown_path_is_one_line(api: Api) -> None:
    with api.client() as http:
        answer = http.get("/v2/jobs")
    assert answer.status_code == 404
    assert set(answer.json()) == {"error"}


def test_a_job_of_which_a_row_cannot_be_read_says_so_and_hides_no_other(api: Api) -> None:
    bad, good = api.job("bad", "00000000000000b1"), api.job("good", "00000000000000b2")
    for job in (bad, good):
        api.state(job, JobState.RUNNING, "it trains")
    with api.store.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE progress SET body = 'x' WHERE job = '{bad.id}'")
    with api.client() as http:
        found = {one["name"]: one["why"] for one in http.get("/v1/jobs").json()["jobs"]}
    assert found["good"] == "it trains"
    assert f"row {bad.id!r} of the table progress" in found["bad"]
