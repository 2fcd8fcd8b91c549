"""The nodes' side: who may speak, what is heard, and that a hanging request ends for the right reasons."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from tests.fakes.api import Api

from outlast.protocol.codec import dump, load
from outlast.protocol.messages import AgentState, Command, CommandKind, Reply, Report
from outlast_orchestrator.core.types import InstancePhase, Job
from outlast_orchestrator.web.auth import issue_token
from outlast_orchestrator.web.limits import REPORT_BYTES_MAX

BOUND_S = 20.0
ASSIGN = Command(CommandKind.ASSIGN, 1)


def _report(job: Job, instance: str = "launch-1", seq: int = 1) -> Report:
    return Report(job.id, 1, 0, instance, "boot", seq, AgentState.RUNNING, step=5)


def _wait_for(api: Api, what: str, closed: bool) -> None:
    pause = threading.Event()
    for _ in range(int(BOUND_S / 0.02)):
        heard = api.nodes.heard().get("launch-1")
        if heard is not None and heard.closed is closed:
            return
        pause.wait(0.02)
    pytest.fail(f"{what}: not seen within {BOUND_S} s")


def _hang(api: Api, token: str, query: str) -> socket.socket:
    """A raw connection with a hanging request on it, so that the test decides when it ends."""
    parts = urlsplit(api.url)
    link = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=BOUND_S)
    target = f"/v1/nodes/launch-1/commands?{query}"
    link.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    return link


def test_a_report_is_heard_and_answered_with_what_holds(api: Api) -> None:
    job = api.job()
    token = api.instance(job)
    api.nodes.tell("launch-1", (ASSIGN,))
    with api.client(token) as http:
        answer = http.post("/v1/report", content=dump(_report(job)))
    assert answer.status_code == 200
    reply = load(Reply, answer.content)
    assert reply.commands == (ASSIGN,)
    assert reply.number != 0
    assert api.nodes.heard()["launch-1"].report.step == 5


def test_a_controller_that_does_not_lead_lets_no_node_believe_that_it_was_heard(api: Api) -> None:
    """It would renew its lease by somebody who tells nobody, and wait for orders that never come."""
    job = api.job()
    token = api.instance(job)
    api.leading = False
    with api.client(token) as http:
        answer = http.post("/v1/report", content=dump(_report(job)))
        hanging = http.get("/v1/nodes/launch-1/commands?wait=0")
    assert (answer.status_code, hanging.status_code) == (503, 503)
    assert "does not lead" in answer.json()["error"]
    assert api.nodes.heard() == {}
    with api.client() as http:
        assert [one["id"] for one in http.get("/v1/jobs").json()["jobs"]] == [job.id], "people may look"


def test_a_hanging_request_of_a_leader_that_was_deposed_ends_without_orders(api: Api) -> None:
    token = api.instance(api.job())
    with ThreadPoolExecutor(1) as pool, api.client(token) as http:
        seen = load(Reply, http.get("/v1/nodes/launch-1/commands?wait=0").content).number
        waiting = pool.submit(http.get, f"/v1/nodes/launch-1/commands?wait=30&seen={seen}")
        api.leading = False
        api.nodes.tell("launch-1", (ASSIGN,))
        assert waiting.result(BOUND_S).status_code == 503


def test_unknown_fields_of_a_newer_agent_are_ignored(api: Api) -> None:
    job = api.job()
    with api.client(api.instance(job)) as http:
        body = dump(_report(job))[:-1] + b',"new_in_2031":{"a":[1]}}'
        assert http.post("/v1/report", content=body).status_code == 200


def test_a_wrong_token_is_refused_in_a_sentence(api: Api) -> None:
    job = api.job()
    api.instance(job)
    with api.client("wrong") as http:
        answer = http.post("/v1/report", content=dump(_report(job)))
    assert answer.status_code == 401
    assert "not known" in answer.json()["error"]
    assert api.nodes.heard() == {}


def test_no_token_is_refused(api: Api) -> None:
    with api.client() as http:
        answer = http.get("/v1/nodes/launch-1/commands", headers={"Authorization": ""})
    assert answer.status_code == 401


def test_a_node_cannot_speak_for_another_one(api: Api) -> None:
    job = api.job()
    token = api.instance(job)
    api.instance(job, "launch-2")
    with api.client(token) as http:
        report = http.post("/v1/report", content=dump(_report(job, "launch-2")))
        commands = http.get("/v1/nodes/launch-2/commands?wait=0")
    assert (report.status_code, commands.status_code) == (403, 403)
    assert "launch-2" in report.json()["error"]
    assert api.nodes.heard() == {}


def test_a_node_token_opens_nothing_of_the_peoples_side(api: Api) -> None:
    job = api.job()
    token = api.instance(job)
    with api.client(token) as http:
        for path in (
            "/v1/jobs",
            f"/v1/jobs/{job.id}",
            "/v1/orphans",
            "/v1/doctor",
            f"/v1/jobs/{job.id}/logs",
            "/v1/events",
        ):
            assert http.get(path).status_code == 403, path
        assert http.post(f"/v1/jobs/{job.id}/cancel", json={}).status_code == 403


def test_an_admin_token_is_no_node(api: Api) -> None:
    job = api.job()
    api.instance(job)
    with api.client() as http:
        assert http.post("/v1/report", content=dump(_report(job))).status_code == 403


def test_the_token_of_a_gone_instance_is_worth_nothing(api: Api) -> None:
    job = api.job()
    token = api.instance(job, phase=InstancePhase.GONE)
    with api.client(token) as http:
        assert http.post("/v1/report", content=dump(_report(job))).status_code == 401


def test_an_expired_token_is_refused(api: Api) -> None:
    token = issue_token(api.store, api.clock, "old", life_s=-1.0)
    with api.client(token) as http:
        answer = http.get("/v1/jobs")
    assert answer.status_code == 401
    assert "expired" in answer.json()["error"]


def test_an_unknown_job_is_404(api: Api) -> None:
    job = api.job()
    with api.client(api.instance(job)) as http:
        answer = http.post("/v1/report", content=dump(replace(_report(job), job="feedfeedfeedfeed")))
    assert answer.status_code == 404
    assert "feedfeedfeedfeed" in answer.json()["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b'{"job": 1}', b'{"job": "x"}'])
def test_what_is_no_report_is_said_to_be_none(api: Api, body: bytes) -> None:
    job = api.job()
    with api.client(api.instance(job)) as http:
        answer = http.post("/v1/report", content=body)
    assert answer.status_code == 400
    assert "no report" in answer.json()["error"]


def test_a_report_that_is_too_large_is_not_read(api: Api) -> None:
    job = api.job()
    with api.client(api.instance(job)) as http:
        answer = http.post("/v1/report", content=b" " * (REPORT_BYTES_MAX + 1))
    assert answer.status_code == 413


def test_commands_come_at_once_when_they_are_not_those_that_were_seen(api: Api) -> None:
    token = api.instance(api.job())
    api.nodes.tell("launch-1", (ASSIGN,))
    with api.client(token) as http:
        reply = load(Reply, http.get("/v1/nodes/launch-1/commands?wait=60&seen=0").content)
    assert reply.commands == (ASSIGN,)


def test_a_change_answers_the_hanging_request(api: Api) -> None:
    token = api.instance(api.job())
    with api.client(token) as http, ThreadPoolExecutor(1) as pool:
        seen = load(Reply, http.get("/v1/nodes/launch-1/commands?wait=0").content).number
        hanging = pool.submit(http.get, f"/v1/nodes/launch-1/commands?wait=60&seen={seen}")
        api.nodes.tell("launch-1", (ASSIGN,))
        reply = load(Reply, hanging.result(BOUND_S).content)
    assert reply.commands == (ASSIGN,)
    assert reply.number != seen


def test_the_number_stands_for_the_commands_and_nothing_else(api: Api) -> None:
    job = api.job()
    with api.client(api.instance(job)) as http:
        api.nodes.tell("launch-1", (ASSIGN,))
        first = load(Reply, http.post("/v1/report", content=dump(_report(job))).content)
        api.nodes.facts_recorded("launch-1", "boot", 9)
        second = load(Reply, http.post("/v1/report", content=dump(_report(job, seq=2))).content)
    assert second.facts_until == 9
    assert second.number == first.number


def test_a_time_out_is_answered_and_closes_nothing(api: Api) -> None:
    job = api.job()
    with api.client(api.instance(job)) as http:
        seen = load(Reply, http.post("/v1/report", content=dump(_report(job))).content).number
        answer = http.get(f"/v1/nodes/launch-1/commands?wait=0.2&seen={seen}")
        assert answer.status_code == 200
        assert load(Reply, answer.content).number == seen
    assert api.nodes.heard()["launch-1"].closed is False


def test_a_connection_that_the_node_ends_is_told_at_once_and_a_new_one_mends_it(api: Api) -> None:
    job = api.job()
    token = api.instance(job)
    with api.client(token) as http:
        seen = load(Reply, http.post("/v1/report", content=dump(_report(job))).content).number
        link = _hang(api, token, f"wait=60&seen={seen}")
        assert http.get(f"/v1/nodes/launch-1/commands?wait=0.2&seen={seen}").status_code == 200
        assert api.nodes.heard()["launch-1"].closed is False
        link.close()
        _wait_for(api, "the end of the connection", True)
        assert http.get(f"/v1/nodes/launch-1/commands?wait=0&seen={seen}").status_code == 200
        assert api.nodes.heard()["launch-1"].closed is False


def test_an_old_connection_that_ends_late_does_not_close_a_node_that_hangs_on_a_new_one(api: Api) -> None:
    job = api.job()
    token = api.instance(job)
    with api.client(token) as http, ThreadPoolExecutor(1) as pool:
        seen = load(Reply, http.post("/v1/report", content=dump(_report(job))).content).number
        old = _hang(api, token, f"wait=60&seen={seen}")
        new = pool.submit(http.get, f"/v1/nodes/launch-1/commands?wait=3&seen={seen}")
        old.close()
        assert new.result(BOUND_S).status_code == 200
    assert api.nodes.heard()["launch-1"].closed is False


def test_our_own_shutdown_ends_the_wait_and_closes_nobody(api: Api) -> None:
    job = api.job()
    token = api.instance(job)
    with api.client(token) as http:
        seen = load(Reply, http.post("/v1/report", content=dump(_report(job))).content).number
    link = _hang(api, token, f"wait=60&seen={seen}")
    with api.client(token) as http:
        http.get(f"/v1/nodes/launch-1/commands?wait=0.2&seen={seen}")  # so that the first one hangs by now
    api.stop()
    assert link.recv(15).startswith(b"HTTP/1.1 200")
    link.close()
    assert api.nodes.heard()["launch-1"].closed is False
