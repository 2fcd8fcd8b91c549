"""What each answer of an S3 store means to the protocol, over a real socket."""

from __future__ import annotations

import pytest
from tests.servers.canned_s3 import HANG_UP, CannedS3, canned_s3, s3_error

from outlast.bucket.client import open_bucket
from outlast.bucket.generations import read_pointer
from outlast.ports import Bucket, Conflict, Denied, Exists, Unsure

KEYS = {"access_key_id": "key", "secret_access_key": "secret"}


def _open(server: CannedS3) -> Bucket:
    return open_bucket(server.url, options=KEYS)


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (s3_error(412, "PreconditionFailed"), Exists, "exists already"),
        (s3_error(409, "ConditionalRequestConflict"), Unsure, "409"),
        (s3_error(503, "SlowDown"), Unsure, "503"),
        (s3_error(500, "InternalError"), Unsure, "500"),
        (s3_error(403, "AccessDenied"), Denied, "AccessDenied"),
        (s3_error(400, "ExpiredToken"), Denied, "ExpiredToken"),
        (s3_error(404, "NoSuchBucket"), Denied, "does not exist"),
        (s3_error(501, "NotImplemented"), Denied, "NotImplemented"),
        ((HANG_UP, ""), Unsure, "latest"),
        ((200, ""), Unsure, "ETag"),
    ],
)
def test_a_conditional_create_is_sent_once_and_its_answer_has_one_meaning(
    answer: tuple[int, str], error: type[Exception], says: str
) -> None:
    with canned_s3(answer) as server:
        with pytest.raises(error, match=says):
            _open(server).create("latest.json", b"{}")
        assert server.seen == [("PUT", "/test/latest.json")]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (s3_error(412, "PreconditionFailed"), Conflict),
        (s3_error(404, "NoSuchKey"), Conflict),
        (s3_error(409, "ConditionalRequestConflict"), Unsure),
        (s3_error(503, "SlowDown"), Unsure),
        ((HANG_UP, ""), Unsure),
        (s3_error(403, "AccessDenied"), Denied),
    ],
)
def test_a_conditional_replace_is_sent_once_and_its_answer_has_one_meaning(
    answer: tuple[int, str], error: type[Exception]
) -> None:
    with canned_s3(answer) as server:
        with pytest.raises(error):
            _open(server).replace("latest.json", b"{}", '"etag"')
        assert server.seen == [("PUT", "/test/latest.json")]


def test_a_read_is_repeated_since_that_is_free_of_doubt() -> None:
    with canned_s3(s3_error(503, "SlowDown"), (HANG_UP, ""), s3_error(404, "NoSuchKey")) as server:
        assert read_pointer(_open(server), "owner", "job") is None
        assert len(server.seen) == 3


@pytest.mark.parametrize(
    "answer", [(404, "<html>Not Found</html>"), (404, ""), s3_error(404, "NoSuchUpload"), (302, "")]
)
def test_what_is_not_a_stores_no_such_key_never_means_that_there_is_no_pointer(
    answer: tuple[int, str],
) -> None:
    with canned_s3(answer) as server, pytest.raises((Denied, Unsure)):
        read_pointer(_open(server), "owner", "job")


def test_error_texts_are_one_line_and_hold_no_secret() -> None:
    with canned_s3(s3_error(503, "SlowDown")) as server:
        with pytest.raises(Unsure) as caught:
            _open(server).create("latest.json", b"{}")
        assert "\n" not in str(caught.value)
        assert "secret" not in str(caught.value)
