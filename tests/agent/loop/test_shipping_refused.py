"""Credentials that expire, or a quota that is used up, in the middle of an upload: told, and made up for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.agent.save.copies import stable
from tests.servers.parts_s3 import PartsS3, parts_s3

from outlast.bucket.client import open_bucket
from outlast.bucket.transfer import PART_BYTES
from outlast.clock import SystemRuntime
from outlast.news import Trouble, Uploaded, UploadMoved
from outlast.ports import Mailbox
from outlast.save.types import Draft
from outlast.tasks.desk import Flag
from outlast.tasks.saving import ShipperTask
from outlast.view import Identity

KEYS = {"access_key_id": "any", "secret_access_key": "any"}
WAIT_S = 60.0


@pytest.fixture
def server() -> Iterator[PartsS3]:
    with parts_s3() as started:
        yield started


def uploaded(news: Mailbox) -> Draft | Trouble | None:
    while isinstance(said := news.get(WAIT_S), UploadMoved):
        pass
    assert isinstance(said, Uploaded), said
    return said.outcome


# The two small files are a write each; the big one begins with a third, and its parts follow.
@pytest.mark.parametrize("taken", [0, 1, 3, 4, 6])
@pytest.mark.parametrize(
    ("code", "said"), [("ExpiredToken", "credentials"), ("QuotaExceeded", "the quota is used up")]
)
def test_what_was_refused_is_told_and_sent_once_it_is_taken_again(
    server: PartsS3, tmp_path: Path, taken: int, code: str, said: str
) -> None:
    bodies = {"a": b"first", "b": b"second", "c": os.urandom(2 * PART_BYTES + 9)}
    for name, body in bodies.items():
        (tmp_path / name).write_bytes(body)
    runtime = SystemRuntime()
    news, copy = runtime.mailbox(), stable(tmp_path, 7)
    bucket = open_bucket(server.url(), options=KEYS)
    shipper = ShipperTask(runtime, bucket, Identity("job", "own", "l-1", "boot"), news.put)
    server.left, server.code = taken, code
    shipper.upload(1, copy, None, Flag())
    trouble = uploaded(news)
    assert isinstance(trouble, Trouble), trouble
    assert trouble.lasting
    assert code in trouble.why
    assert said in trouble.why
    held = dict(server.objects)
    server.left = None  # renewed, or raised
    server.writes.clear()
    shipper.upload(1, copy, None, Flag())
    draft = uploaded(news)
    assert isinstance(draft, Draft), draft
    assert {entry.path: server.objects[entry.key] for entry in draft.files} == bodies
    again = {write.line.split()[1].removeprefix("/test/") for write in server.writes}
    assert not again.intersection(held), "what had arrived is not sent again"
