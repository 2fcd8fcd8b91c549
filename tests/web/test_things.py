"""What lies in the bucket as people see it: output, checkpoints, files."""

from __future__ import annotations

import pytest
from tests.fakes.api import Api

from outlast.bucket.manifest import manifest_bytes, manifest_ref
from outlast.bucket.outputs import index_key
from outlast.protocol.codec import dump
from outlast.protocol.objects import (
    FORMAT,
    POINTER_KEY,
    Confidence,
    FileEntry,
    Manifest,
    Pointer,
    PointerState,
    checkpoint_name,
    data_prefix,
    log_key,
)
from outlast_orchestrator.core.types import Job, JobState
from outlast_orchestrator.web import logs


def _manifest(job: Job, step: int) -> Manifest:
    name = checkpoint_name(step, 1, "0a1b2c3d")
    file = FileEntry("model.bin", f"{data_prefix(name)}model.bin", 7, "xxh3-128:" + "0" * 32)
    at = "2026-01-01T00:00:00Z"
    return Manifest(
        FORMAT, job.owner, job.id, 1, "a1", name, step, at, 1, "files", Confidence.STRONG, (file,)
    )


def _point(api: Api, job: Job, *steps: int) -> None:
    bucket = api.bucket(job.id)
    manifests = [_manifest(job, step) for step in steps]
    refs = tuple(manifest_ref(m) for m in manifests)
    for manifest, ref in zip(manifests, refs, strict=True):
        bucket.create(ref.key, manifest_bytes(manifest))
    pointer = Pointer(
        FORMAT, job.owner, job.id, 1, "w", (), 1, PointerState.RUNNING, refs[-1], refs, "2026-01-01T00:00:00Z"
    )
    bucket.create(POINTER_KEY, dump(pointer))


def test_checkpoints_are_those_that_the_pointer_lists(api: Api) -> None:
    job = api.job()
    _point(api, job, 100, 200)
    api.bucket(job.id).create("manifests/000000300-g1-feedfeed.json", b"unlisted")
    with api.client() as http:
        found = http.get("/v1/jobs/gpt/checkpoints").json()["checkpoints"]
    assert [(c["step"], c["head"], c["bytes"], c["problem"]) for c in found] == [
        (200, True, 7, ""),
        (100, False, 7, ""),
    ]


def test_a_damaged_manifest_is_told_and_hides_no_other(api: Api) -> None:
    job = api.job()
    _point(api, job, 100, 200)
    key = f"manifests/{checkpoint_name(200, 1, '0a1b2c3d')}.json"
    api.bucket(job.id).put(key, b"garbage")
    with api.client() as http:
        newest, older = http.get("/v1/jobs/gpt/checkpoints").json()["checkpoints"]
    assert "damaged" in newest["problem"]
    assert older["problem"] == ""


@pytest.mark.parametrize("body", [b"garbage", b"{}", b""])
def test_a_garbage_pointer_is_told_in_one_line(api: Api, body: bytes) -> None:
    job = api.job()
    api.bucket(job.id).create(POINTER_KEY, body)
    with api.client() as http:
        answer = http.get("/v1/jobs/gpt/checkpoints")
    assert answer.status_code >= 500
    assert "pointer" in answer.json()["error"]
    assert "see the server's log" not in answer.json()["error"]


def test_no_checkpoint_yet(api: Api) -> None:
    api.job()
    with api.client() as http:
        assert http.get("/v1/jobs/gpt/checkpoints").json() == {"checkpoints": []}


def test_outputs_are_those_of_the_index_and_streamed(api: Api) -> None:
    job = api.job()
    api.leave(job, {"model/weights #1.bin": b"w" * 100_000, "empty.csv": b""}, complete=False)
    api.bucket(job.id).create("outputs/stray.bin", b"of an attempt that was frozen")
    with api.client() as http:
        found = http.get("/v1/jobs/gpt/outputs").json()
        listed = {(o["path"], o["size"]) for o in found["outputs"]}
        assert listed == {("model/weights #1.bin", 100_000), ("empty.csv", 0)}
        assert found["complete"] is False
        assert http.get("/v1/jobs/gpt/outputs/model/weights%20%231.bin").content == b"w" * 100_000
        assert http.get("/v1/jobs/gpt/outputs/empty.csv").content == b""
        assert http.get("/v1/jobs/gpt/outputs/model/weights").status_code == 404
        assert http.get("/v1/jobs/gpt/outputs/stray.bin").status_code == 404


def test_no_outputs_yet(api: Api) -> None:
    api.job()
    with api.client() as http:
        assert http.get("/v1/jobs/gpt/outputs").json() == {"outputs": [], "complete": False}


def test_a_garbage_index_is_told_in_one_line(api: Api) -> None:
    api.bucket(api.job().id).create(index_key(1), b"garbage")
    with api.client() as http:
        error = http.get("/v1/jobs/gpt/outputs").json()["error"]
    assert index_key(1) in error


@pytest.mark.parametrize("path", ["..%2flatest.json", "%2e%2e/latest.json", "/etc/passwd", ""])
def test_outputs_stay_among_the_outputs(api: Api, path: str) -> None:
    api.bucket(api.job().id).create(POINTER_KEY, b"secret")
    with api.client() as http:
        answer = http.get(f"/v1/jobs/gpt/outputs/{path}")
    assert b"secret" not in answer.content


def _log(api: Api, job: Job, generation: int, number: int, text: str, boot: str = "b1") -> None:
    api.bucket(job.id).create(log_key(generation, 0, boot, number), text.encode())


def test_logs_are_read_by_attempt_and_go_on_from_a_place(api: Api) -> None:
    job = api.job()
    api.attempt(job, 1)
    api.attempt(job, 2)
    _log(api, job, 1, 0, "one\n")
    _log(api, job, 2, 0, "two\n")
    _log(api, job, 2, 1, "three\n")
    with api.client() as http:
        newest = http.get("/v1/jobs/gpt/logs")
        assert newest.content == b"two\nthree\n"
        assert http.get("/v1/jobs/gpt/logs?attempt=1").content == b"one\n"
        place = newest.headers["x-outlast-after"]
        assert http.get("/v1/jobs/gpt/logs", params={"after": place}).content == b""
        _log(api, job, 2, 2, "four\n")
        assert http.get("/v1/jobs/gpt/logs", params={"after": place}).content == b"four\n"


def test_followed_logs_go_on_with_the_next_attempt(api: Api) -> None:
    job = api.job()
    api.attempt(job, 1)
    _log(api, job, 1, 0, "one\n")
    with api.client() as http:
        place = http.get("/v1/jobs/gpt/logs").headers["x-outlast-after"]
        api.attempt(job, 2)
        _log(api, job, 2, 0, "two\n")
        found = http.get("/v1/jobs/gpt/logs", params={"after": place, "wait": 20})
    assert (found.content, found.headers["x-outlast-attempt"]) == (b"two\n", "2")


def test_an_agent_that_started_again_loses_no_line_of_a_reader(api: Api) -> None:
    job = api.job()
    api.attempt(job, 1)
    _log(api, job, 1, 0, "first boot\n", boot="zz")
    with api.client() as http:
        place = http.get("/v1/jobs/gpt/logs").headers["x-outlast-after"]
        _log(api, job, 1, 0, "second boot\n", boot="aa")  # a name that sorts before the first
        assert http.get("/v1/jobs/gpt/logs", params={"after": place}).content == b"second boot\n"


def test_a_long_output_comes_in_pieces(api: Api) -> None:
    job = api.job()
    api.attempt(job, 1)
    for number in range(6):
        _log(api, job, 1, number, str(number) * (256 << 10))
    bucket = api.bucket(job.id)
    first = logs.read(bucket, logs.Place(1), 0)
    second = logs.read(bucket, first.place, 0)
    assert (len(first.body), first.more) == (logs.BYTES_MAX, True)
    assert (second.body[:1], second.more) == (b"4", False)


def test_logs_say_when_nothing_more_can_come(api: Api) -> None:
    job = api.job()
    api.attempt(job, 1)
    api.state(job, JobState.SUCCEEDED, "done")
    with api.client() as http:
        found = http.get("/v1/jobs/gpt/logs?wait=30")
    assert found.headers["x-outlast-over"] == "yes"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("attempt=99", 404),
        ("attempt=x", 400),
        ("after=x", 400),
        ("after=1.boot", 400),
        ("after=1.boot~x", 400),
    ],
)
def test_bad_places_in_a_log_are_named(api: Api, query: str, status: int) -> None:
    api.attempt(api.job(), 1)
    with api.client() as http:
        answer = http.get(f"/v1/jobs/gpt/logs?{query}")
    assert answer.status_code == status
    assert "\n" not in answer.json()["error"]
    assert not query.startswith("after") or "is not a place in a log" in answer.json()["error"]
