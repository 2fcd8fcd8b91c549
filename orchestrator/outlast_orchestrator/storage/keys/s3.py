"""Keys of S3 for one job: a role, assumed with a session policy that leaves the job's prefix alone."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass
from typing import Any

import boto3  # type: ignore[import-untyped]
import botocore.exceptions  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]

from outlast.bucket import s3
from outlast.bucket.address import Address, read_address
from outlast.ports import Denied, Unsure
from outlast.protocol.messages import BucketKeys
from outlast.protocol.objects import job_prefix

ROLE = re.compile(r"arn:(?P<partition>aws[\w-]*):iam::(\d{12}:)?role/.+")
WILD = frozenset("*?$")  # mean more than themselves in a policy
LIFE_S, LIFE_MIN_S, LIFE_MAX_S = 3600, 900, 43_200  # of a session; chained roles: an hour at most
CONNECT_LIMIT_S, READ_LIMIT_S = 5, 10
SESSION_CHARS = 64
_BUSY = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded", "InternalFailure"})


@dataclass(frozen=True)
class StsOptions:
    """`role`: what it may do in the bucket is the most that any job's keys can do."""

    role: str
    region: str = ""  # of STS; "": the bucket's
    endpoint_url: str = ""  # of what speaks like STS; "": the cloud's own
    external_id: str = ""
    life_s: int = LIFE_S
    profile: str = ""  # of this server's own credentials; "": as the SDK finds them

    def __post_init__(self) -> None:
        if not ROLE.fullmatch(self.role):
            raise ValueError(f"role: {self.role!r} is no role; write arn:aws:iam::123456789012:role/NAME")
        if not LIFE_MIN_S <= self.life_s <= LIFE_MAX_S:
            raise ValueError(f"life_s: {self.life_s}: write {LIFE_MIN_S} to {LIFE_MAX_S} seconds")


class SessionKeys:
    """Implements `core.ports.Credentials`. Safe from any thread."""

    def __init__(self, options: StsOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}  # by region

    @property
    def about(self) -> str:
        return f"keys of {self._options.role}, for {self._options.life_s} s"

    def issue(self, storage: str, job: str) -> BucketKeys:
        options, address = self._options, read_address(storage, s3.QUERY_KEYS, s3.EXAMPLE)
        match = ROLE.fullmatch(options.role)
        wanted = {
            "RoleArn": options.role,
            "RoleSessionName": f"outlast-{job}"[:SESSION_CHARS],
            "Policy": policy(address, job, match["partition"] if match else "aws"),
            "DurationSeconds": options.life_s,
        }
        if options.external_id:
            wanted["ExternalId"] = options.external_id
        try:
            client = self._client(options.region or address.text("region"))
            found = client.assume_role(**wanted)["Credentials"]
        except botocore.exceptions.ClientError as error:
            raise _refused(error, options.role) from error
        except (botocore.exceptions.NoCredentialsError, botocore.exceptions.ProfileNotFound) as error:
            raise Denied(f"this server has no credentials to assume {options.role}: {error}") from error
        except botocore.exceptions.BotoCoreError as error:
            raise Unsure(f"the keys' service was not reached: {error}") from error
        keys = {
            "access_key_id": found["AccessKeyId"],
            "secret_access_key": found["SecretAccessKey"],
            "session_token": found["SessionToken"],
        }
        return BucketKeys(keys, float(options.life_s))

    def _client(self, region: str) -> Any:
        with self._lock:
            if region not in self._clients:
                session = boto3.session.Session(profile_name=self._options.profile or None)
                self._clients[region] = session.client(
                    "sts",
                    region_name=region or session.region_name or "us-east-1",
                    endpoint_url=self._options.endpoint_url or None,
                    config=Config(connect_timeout=CONNECT_LIMIT_S, read_timeout=READ_LIMIT_S),
                )
            return self._clients[region]


def policy(address: Address, job: str, partition: str = "aws") -> str:
    """At most 2,048 characters are allowed. Pure. Raises Denied for a prefix that a policy can't say.

    https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
    """
    prefix = address.below(job_prefix(job))
    if WILD & set(prefix):
        raise Denied(f"the prefix {prefix!r} has a character that means more in a policy: use another one")
    bucket = f"arn:{partition}:s3:::{address.bucket}"
    objects = "GetObject PutObject DeleteObject AbortMultipartUpload ListMultipartUploadParts"
    statements: list[dict[str, Any]] = [
        {
            "Effect": "Allow",
            "Action": [f"s3:{name}" for name in objects.split()],
            "Resource": f"{bucket}/{prefix}*",
        },
        {
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": bucket,
            "Condition": {"StringLike": {"s3:prefix": f"{prefix}*"}},
        },
    ]
    if address.text("kms_key"):
        uses = ["kms:GenerateDataKey", "kms:Decrypt"]
        statements.append({"Effect": "Allow", "Action": uses, "Resource": address.text("kms_key")})
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))


def _refused(error: botocore.exceptions.ClientError, role: str) -> Denied | Unsure:
    found = error.response.get("Error", {})
    code, told = found.get("Code", "Unknown"), found.get("Message", "no message")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _BUSY or status >= 500:
        return Unsure(f"the keys' service answers {code}: {told}")
    mend = ""
    if code == "AccessDenied":
        mend = "; let this server assume it (sts:AssumeRole, and the role's trust policy)"
    if code == "ValidationError" and "DurationSeconds" in told:
        mend = "; lower storage_keys.life_s: a role assumed by a role gives an hour at most"
    return Denied(f"{role} can't be assumed: {code}: {told}{mend}")
