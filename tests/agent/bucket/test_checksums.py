"""What vouches for the bytes on the wire: over TLS a checksum, without it a signature over the payload."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from tests.servers.parts_s3 import PartsS3, parts_s3

from outlast.bucket.client import open_bucket
from outlast.bucket.transfer import PART_BYTES

KEYS = {"access_key_id": "any", "secret_access_key": "any"}
BODY = b"a checkpoint, or a part of it"
REFLECTED = 0x9A6C9329AC4BC9B5  # the polynomial of CRC-64/NVME


def crc64nvme(data: bytes) -> str:
    """As the header has it."""
    crc = (1 << 64) - 1
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (REFLECTED if crc & 1 else 0)
    return base64.b64encode((crc ^ (1 << 64) - 1).to_bytes(8, "big")).decode()


@pytest.fixture(params=["https", "http"])
def server(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PartsS3]:
    tls = None
    if request.param == "https":
        authority = trustme.CA()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(tls)
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with parts_s3(tls) as started:
        yield started


@dataclass(frozen=True)
class Zeros:
    """A source of nothing but zeros."""

    size: int

    def read(self, offset: int, length: int) -> bytes:
        return bytes(length)


def test_the_checksum_is_that_of_the_check_value() -> None:
    assert crc64nvme(b"123456789") == base64.b64encode(bytes.fromhex("ae8b14860a799888")).decode()


def test_small_and_big_objects_carry_what_the_store_can_verify(server: PartsS3) -> None:
    bucket = open_bucket(server.url(), options=KEYS)
    bucket.put("small", BODY)
    bucket.upload("big", Zeros(2 * PART_BYTES + 5), lambda done: None)
    assert server.objects == {"small": BODY, "big": bytes(2 * PART_BYTES + 5)}
    data = [write for write in server.writes if write.line.startswith("PUT")]
    assert sorted(write.length for write in data) == [5, len(BODY), PART_BYTES, PART_BYTES]
    for write in data:
        if server.endpoint.startswith("https:"):
            assert write.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
            if write.length < PART_BYTES:
                body = BODY if write.length == len(BODY) else bytes(write.length)
                assert write.headers["x-amz-checksum-crc64nvme"] == crc64nvme(body)
            assert "x-amz-checksum-crc64nvme" in write.headers
        else:
            assert len(write.headers["x-amz-content-sha256"]) == 64


def test_a_store_without_that_checksum_gets_a_signature(server: PartsS3) -> None:
    open_bucket(server.url("&checksum=signature"), options=KEYS).put("small", BODY)
    (write,) = server.writes
    assert len(write.headers["x-amz-content-sha256"]) == 64
    assert "x-amz-checksum-crc64nvme" not in write.headers


def test_another_word_is_refused(server: PartsS3) -> None:
    with pytest.raises(ValueError, match="crc64nvme or signature"):
        open_bucket(server.url("&checksum=md5"), options=KEYS)
