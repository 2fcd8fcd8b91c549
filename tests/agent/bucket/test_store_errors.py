"""What GCS's and Azure Blob's answers mean to the protocol, and what a URL's settings send, over a socket."""

from __future__ import annotations

import pytest
from tests.servers.canned_s3 import HANG_UP, CannedS3, canned_s3, s3_error

from outlast.bucket.client import open_bucket
from outlast.bucket.generations import read_pointer
from outlast.ports import Bucket, Conflict, Denied, Exists, Missing, Unsure

S3_KEYS = {"access_key_id": "key", "secret_access_key": "secret"}
KEYS = {
    "s3": S3_KEYS,
    "gs": {"bearer_token": "secret"},
    "az": {"account_key": "c2VjcmV0"},
}


def _open(scheme: str, server: CannedS3, more: str = "") -> Bucket:
    account = "&account=someone" if scheme == "az" else ""
    return open_bucket(f"{scheme}://test?{server.query}{account}{more}", options=KEYS[scheme])


CREATES = [
    ("gs", s3_error(412, "PreconditionFailed"), Exists, "exists already"),
    ("gs", s3_error(429, "SlowDown"), Unsure, "429"),
    ("gs", s3_error(403, "AccessDenied"), Denied, "AccessDenied"),
    ("gs", s3_error(400, "UserProjectMissing"), Denied, "UserProjectMissing"),
    ("gs", s3_error(404, "NoSuchBucket"), Denied, "gs://test does not exist"),
    ("gs", (HANG_UP, ""), Unsure, "latest"),
    ("az", s3_error(409, "BlobAlreadyExists"), Exists, "exists already"),
    ("az", s3_error(409, "BlobImmutableDueToPolicy"), Denied, "BlobImmutableDueToPolicy"),
    ("az", s3_error(412, "LeaseIdMissing"), Denied, "LeaseIdMissing"),
    ("az", s3_error(409, "SomethingElse"), Unsure, "409"),
    ("az", s3_error(503, "ServerBusy"), Unsure, "503"),
    ("az", s3_error(403, "AuthorizationPermissionMismatch"), Denied, "AuthorizationPermissionMismatch"),
    ("az", s3_error(404, "ContainerNotFound"), Denied, "az://test does not exist"),
    ("az", (HANG_UP, ""), Unsure, "latest"),
    ("s3", s3_error(403, "QuotaExceeded"), Denied, r"quota is used up \(QuotaExceeded\): raise it"),
    ("s3", s3_error(400, "XMinioAdminBucketQuotaExceeded"), Denied, "quota is used up"),
    ("s3", s3_error(507, "InsufficientStorage"), Denied, "quota is used up"),
    ("s3", s3_error(403, "RequestTimeTooSkewed"), Denied, "clock"),
    ("az", (507, ""), Denied, r"quota is used up \(507\)"),
]


@pytest.mark.parametrize(("scheme", "answer", "error", "says"), CREATES)
def test_a_conditional_create_is_sent_once_and_its_answer_has_one_meaning(
    scheme: str, answer: tuple[int, str], error: type[Exception], says: str
) -> None:
    with canned_s3(answer) as server:
        with pytest.raises(error, match=says) as caught:
            _open(scheme, server).create("latest.json", b"{}")
        assert len(server.seen) == 1
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("scheme", "answer", "error"),
    [
        ("gs", s3_error(412, "PreconditionFailed"), Conflict),
        ("gs", s3_error(404, "NoSuchKey"), Conflict),
        ("az", s3_error(412, "ConditionNotMet"), Conflict),
        ("az", s3_error(412, "LeaseIdMissing"), Denied),
        ("az", s3_error(500, "InternalError"), Unsure),
        ("gs", (HANG_UP, ""), Unsure),
    ],
)
def test_a_conditional_replace_is_sent_once_and_its_answer_has_one_meaning(
    scheme: str, answer: tuple[int, str], error: type[Exception]
) -> None:
    with canned_s3(answer) as server:
        with pytest.raises(error):
            _open(scheme, server).replace("latest.json", b"{}", "12")
        assert len(server.seen) == 1


@pytest.mark.parametrize("scheme", ["gs", "az"])
@pytest.mark.parametrize(
    "answer", [(404, "<html>Not Found</html>"), (404, ""), s3_error(404, "NoSuchUpload")]
)
def test_what_is_not_a_stores_no_such_key_never_means_that_there_is_no_pointer(
    scheme: str, answer: tuple[int, str]
) -> None:
    with canned_s3(answer) as server, pytest.raises((Denied, Unsure)):
        read_pointer(_open(scheme, server), "owner", "job")


@pytest.mark.parametrize(("scheme", "code"), [("gs", "NoSuchKey"), ("az", "BlobNotFound")])
def test_a_stores_own_no_such_key_does(scheme: str, code: str) -> None:
    with canned_s3(s3_error(404, code)) as server:
        assert read_pointer(_open(scheme, server), "owner", "job") is None
        with pytest.raises(Missing):
            _open(scheme, server).get("latest.json")


def _sent(scheme: str, more: str) -> dict[str, str]:
    with canned_s3(s3_error(403, "AccessDenied")) as server:
        with pytest.raises(Denied):
            _open(scheme, server, more).create("latest.json", b"{}")
        return server.headers[0]


def test_a_key_of_ones_own_encrypts_what_is_written() -> None:
    sent = _sent("s3", "&kms_key=alias/mine")
    assert sent["x-amz-server-side-encryption"] == "aws:kms"
    assert sent["x-amz-server-side-encryption-aws-kms-key-id"] == "alias/mine"
    assert "x-amz-server-side-encryption" not in _sent("s3", "")


def test_who_pays_is_told_to_the_store() -> None:
    assert _sent("s3", "&requester_pays=true")["x-amz-request-payer"] == "requester"
    assert _sent("gs", "&user_project=mine")["x-goog-user-project"] == "mine"
    assert "x-amz-request-payer" not in _sent("s3", "")
