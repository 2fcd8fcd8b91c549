"""A job's checkpoints over the API: named, compared with their hashes, kept by wish, fetched."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from tests.fakes.api import Api

from outlast.protocol.objects import ManifestRef, PointerState, pin_key
from outlast_orchestrator.core.types import Job

RUNNING = PointerState.RUNNING


def _damage(api: Api, job: Job, ref: ManifestRef) -> None:
    bucket, key = api.bucket(job.id), f"checkpoints/{ref.name}/model.bin"
    body = bytearray(bucket.get(key).body)
    body[3] ^= 1
    bucket.put(key, bytes(body))


def _verify(http: httpx.Client, which: str = "") -> list[dict[str, Any]]:
    answer = http.get("/v1/jobs/gpt/verification", params={"which": which})
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def _verdicts(lines: list[dict[str, Any]]) -> dict[int, str]:
    return {line["step"]: line["problem"] for line in lines if "problem" in line}


def test_every_byte_of_what_is_kept_is_compared(api: Api) -> None:
    job = api.job()
    api.keep(job, 100, 200, 300)
    with api.client() as http:
        lines = _verify(http)
    assert _verdicts(lines) == {300: "", 200: "", 100: ""}
    assert (lines[-1]["resume"]["step"], lines[-1]["why"]) == (300, "the head")


def test_a_damaged_head_is_told_with_the_parent_that_a_resume_would_take(api: Api) -> None:
    job = api.job()
    refs = api.keep(job, 100, 200, 300)
    _damage(api, job, refs[2])
    api.bucket(job.id).delete(f"checkpoints/{refs[1].name}/deep/config.json")
    with api.client() as http:
        lines = _verify(http, "300")
    verdicts = _verdicts(lines)
    assert "its hash is" in verdicts[300]
    assert "model.bin" in verdicts[300]
    assert "missing" in verdicts[200]  # on the way that a resume would go
    assert verdicts[100] == ""
    assert lines[-1]["resume"] == {"name": refs[0].name, "step": 100}


def test_nothing_that_verifies_is_told_as_such(api: Api) -> None:
    job = api.job()
    (ref,) = api.keep(job, 100)
    api.bucket(job.id).put(ref.key, b"garbage")
    with api.client() as http:
        lines = _verify(http)
    assert "damaged" in _verdicts(lines)[100]
    assert lines[-1]["resume"] is None


def test_a_step_that_is_kept_twice_must_be_named(api: Api) -> None:
    job = api.job()
    refs = api.keep(job, 100, 100)
    with api.client() as http:
        unclear = http.get("/v1/jobs/gpt/checkpoint", params={"which": "100"})
        named = http.get("/v1/jobs/gpt/checkpoint", params={"which": refs[0].name})
        unknown = http.get("/v1/jobs/gpt/checkpoint", params={"which": "7"})
    assert unclear.status_code == 400
    assert all(ref.name in unclear.json()["error"] for ref in refs)
    assert named.json()["name"] == refs[0].name
    assert unknown.status_code == 400
    assert refs[1].name in unknown.json()["error"]


def test_a_step_of_any_length_is_one_that_is_not_kept(api: Api) -> None:
    api.keep(api.job(), 100)
    long = "9" * 5000  # more digits than Python reads
    with api.client() as http:
        assert http.get("/v1/jobs/gpt/checkpoint", params={"which": long}).status_code == 400
        assert http.put("/v1/jobs/gpt/pins", params={"which": long}).status_code == 400
        assert http.get(f"/v1/jobs/gpt/pins/{long}").json()["pin"] == "gone"


def test_a_pin_is_a_wish_until_the_pointer_lists_it(api: Api) -> None:
    job = api.job()
    refs = api.keep(job, 100, 200)
    name = refs[0].name
    with api.client() as http:
        assert http.put("/v1/jobs/gpt/pins", params={"which": "100"}).json()["pin"] == "pin wished"
        assert api.bucket(job.id).get(pin_key(name)).body == b""
        assert http.get(f"/v1/jobs/gpt/pins/{name}").json()["pin"] == "pin wished"
        listed = http.get("/v1/jobs/gpt/checkpoints").json()["checkpoints"]
        assert [(c["step"], c["pinned"], c["pin"]) for c in listed] == [
            (200, False, ""),
            (100, False, "pin wished"),
        ]
        api.point(job, refs, RUNNING, pinned=(name,))
        assert http.get(f"/v1/jobs/gpt/pins/{name}").json()["pin"] == "pinned"
        # Unpinning is a wish too.
        assert http.delete("/v1/jobs/gpt/pins").json()["pin"] == "unpin wished"
        api.point(job, refs, RUNNING)
        assert http.get(f"/v1/jobs/gpt/pins/{name}").json()["pin"] == ""
        assert http.delete("/v1/jobs/gpt/pins", params={"which": "100"}).status_code == 400


def test_what_has_left_can_not_be_pinned_any_more(api: Api) -> None:
    job = api.job()
    refs = api.keep(job, 100, 200)
    with api.client() as http:
        http.put("/v1/jobs/gpt/pins", params={"which": "100"})
        api.point(job, refs[1:], RUNNING)
        assert http.get(f"/v1/jobs/gpt/pins/{refs[0].name}").json()["pin"] == "gone"
        assert http.put("/v1/jobs/gpt/pins", params={"which": "100"}).status_code == 400


def test_a_hold_of_the_program_is_no_persons_pin(api: Api) -> None:
    job = api.job()
    refs = api.keep(job, 100, 200)
    api.bucket(job.id).put(pin_key(refs[0].name) + "+restart", b"")
    api.point(job, refs, RUNNING, pinned=(refs[0].name,))
    with api.client() as http:
        listed = http.get("/v1/jobs/gpt/checkpoints").json()["checkpoints"]
        nothing = http.delete("/v1/jobs/gpt/pins")
    assert [c["pin"] for c in listed] == ["", "held"]
    assert nothing.status_code == 400


@pytest.mark.parametrize("path", ["model.bin", "deep/config.json"])
def test_a_file_of_a_checkpoint_is_streamed_and_a_missing_one_is_told_in_words(api: Api, path: str) -> None:
    job = api.job()
    (ref,) = api.keep(job, 100)
    with api.client() as http:
        url = f"/v1/jobs/gpt/checkpoints/{ref.name}/files/{path}"
        body = http.get(url).content
        assert body == api.bucket(job.id).get(f"checkpoints/{ref.name}/{path}").body
        api.bucket(job.id).delete(f"checkpoints/{ref.name}/{path}")
        lost = http.get(url)
        unknown = http.get(f"/v1/jobs/gpt/checkpoints/{ref.name}/files/nothing")
    assert (lost.status_code, unknown.status_code) == (500, 404)
    assert "missing in the bucket" in lost.json()["error"]
