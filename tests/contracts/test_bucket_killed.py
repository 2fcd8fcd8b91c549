"""A process killed in the middle of an upload leaves nothing visible, on every real kind of bucket."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.contracts.test_bucket import Bytes
from tests.servers import azurite, gcs
from tests.servers.seaweedfs import ADMIN

from outlast.bucket.client import open_bucket
from outlast.bucket.transfer import PART_BYTES
from outlast.ports import Missing

BIG_BYTES = 6 * PART_BYTES
KEY = "checkpoints/000000001-g1-abc/model"
READ_LIMIT_S = 60

# Uploads from a source that gives all but the last part, says so, and then waits for ever. At most four
# parts are on their way at once, so by then at least one has arrived.
UPLOADER = """
import json, sys, threading
from outlast.bucket.client import open_bucket

url, options, key, size = json.loads(sys.argv[1])

class Slow:
    size = size
    def read(self, offset, length):
        if offset + length >= size:
            print("on its way", flush=True)
            threading.Event().wait()
        return b"x" * length

open_bucket(url, options=options).upload(key, Slow(), lambda done: None)
"""


@pytest.fixture(params=["folder", "s3", "gcs", "azure"])
def place(request: pytest.FixtureRequest) -> tuple[str, Mapping[str, str]]:
    """A bucket's URL and secrets, for another process."""
    prefix = f"killed-{request.param}"
    if request.param == "s3":
        return request.getfixturevalue("s3_server").url(prefix=prefix), ADMIN
    if request.param == "gcs":
        return request.getfixturevalue("gcs_store").url(prefix=prefix), gcs.KEYS
    if request.param == "azure":
        return request.getfixturevalue("azure_server").url(prefix=prefix), azurite.KEYS
    root: Path = request.getfixturevalue("tmp_path") / "bucket"
    root.mkdir()
    return root.as_uri(), {}


def test_killed_in_the_middle_of_an_upload_nothing_is_visible_and_the_next_try_succeeds(
    place: tuple[str, Mapping[str, str]],
) -> None:
    url, options = place
    told = json.dumps([url, dict(options), KEY, BIG_BYTES])
    uploader = subprocess.Popen([sys.executable, "-c", UPLOADER, told], stdout=subprocess.PIPE)
    try:
        assert uploader.stdout is not None
        assert uploader.stdout.readline() == b"on its way\n"
    finally:
        uploader.send_signal(signal.SIGKILL)
        uploader.communicate(timeout=READ_LIMIT_S)

    bucket = open_bucket(url, options=options)
    assert list(bucket.list("")) == []
    with pytest.raises(Missing):
        bucket.get(KEY)
    with pytest.raises(Missing):
        list(bucket.stream(KEY, 0, 1))

    body = b"y" * BIG_BYTES
    bucket.upload(KEY, Bytes(body), lambda done: None)
    assert [(info.key, info.size) for info in bucket.list("")] == [(KEY, BIG_BYTES)]
    assert b"".join(bytes(chunk) for chunk in bucket.stream(KEY, 0, BIG_BYTES)) == body
