"""A real S3 server on loopback, for as long as a `with` block."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from outlast.bucket.client import open_bucket
from outlast.ports import BucketError

GRPC_OFFSET = 10_000  # SeaweedFS listens there too
# With the offset still below the ports that the kernel gives to clients (Linux: from 32768 on).
PORTS = range(11_000, 22_000)
TRIES = 5  # a port that was free can be taken by another test's server before ours opens it
START_LIMIT_S = 60.0
BUCKET = "test"
LOG = "weed.log"
PORT_TAKEN = ("Port allocation failed", "address already in use")  # at its own look, and at the bind itself
STRIDE = 97  # workers have neighbouring pids: so far apart they look for ports

ADMIN = {"access_key_id": "admin", "secret_access_key": "admin-secret"}
SCOPED = {"access_key_id": "scoped", "secret_access_key": "scoped-secret"}
SCOPED_PREFIX = "jobs/own"
ROLE = "arn:aws:iam::123456789012:role/outlast-job"  # whose keys are cut down to one job


@dataclass(frozen=True)
class S3Server:
    endpoint: str

    def url(self, bucket: str = BUCKET, prefix: str = "") -> str:
        return f"s3://{bucket}/{prefix}?endpoint={self.endpoint}&allow_http=true&region=us-east-1"


@contextmanager
def seaweedfs(folder: Path, ip: str = "127.0.0.1") -> Iterator[S3Server]:
    """Starts `weed mini` with its state in `folder`; ends it by its pid."""
    for _ in range(TRIES):
        s3, process = _start(folder, ip)
        try:
            if not _await(s3, process, folder):
                continue
            yield s3
            return
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
    raise AssertionError(f"no port stayed free in {TRIES} tries: {_log(folder)}")


def _start(folder: Path, ip: str) -> tuple[S3Server, subprocess.Popen[bytes]]:
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": _identities()}))
    roles = folder / "iam.json"
    roles.write_text(json.dumps(_roles()))
    ports = _free_ports(5)
    program = Path(sys.executable).with_name("weed")
    command = [str(program), "mini", f"-dir={folder}", f"-ip={ip}", f"-ip.bind={ip}"]
    command += [f"-s3.config={config}", f"-s3.iam.config={roles}"]
    command += [f"-bucket={BUCKET}", "-master.telemetry=false"]
    command += ["-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    names = ("master", "volume", "filer", "admin", "s3")
    command += [f"-{name}.port={port}" for name, port in zip(names, ports, strict=True)]
    with (folder / LOG).open("wb") as out:
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder)}
        server = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, env=environment)
    return S3Server(f"http://{ip}:{ports[-1]}"), server


def _identities() -> list[dict[str, object]]:
    def identity(keys: dict[str, str], actions: list[str]) -> dict[str, object]:
        credential = {"accessKey": keys["access_key_id"], "secretKey": keys["secret_access_key"]}
        return {"name": keys["access_key_id"], "credentials": [credential], "actions": actions}

    own = f"{BUCKET}/{SCOPED_PREFIX}/*"
    return [
        identity(ADMIN, ["Admin", "Read", "Write", "List"]),
        identity(SCOPED, [f"Read:{own}", f"Write:{own}", f"List:{own}"]),
    ]


def _roles() -> dict[str, object]:
    """One role that who has keys may assume; it reaches the bucket, as far as a session policy lets it."""
    everyone = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": ["sts:AssumeRole"]}
    all_of_it = {
        "Effect": "Allow",
        "Action": ["s3:*"],
        "Resource": [f"arn:aws:s3:::{BUCKET}{end}" for end in ("", "/*")],
    }
    memory = {"storeType": "memory"}
    key = base64.b64encode(b"only for tests: 32 bytes or more").decode()
    return {
        "sts": {
            "tokenDuration": "1h",
            "maxSessionLength": "12h",
            "issuer": "outlast-tests",
            "signingKey": key,
        },
        "policy": {"defaultEffect": "Deny", **memory},
        "roleStore": memory,
        "roles": [
            {
                "roleName": "outlast-job",
                "roleArn": ROLE,
                "trustPolicy": {"Version": "2012-10-17", "Statement": [everyone]},
                "attachedPolicies": ["bucket"],
            }
        ],
        "policies": [{"name": "bucket", "document": {"Version": "2012-10-17", "Statement": [all_of_it]}}],
    }


def _free_ports(count: int) -> list[int]:
    """Ports that are free together with the one GRPC_OFFSET above."""
    found: list[int] = []
    with ExitStack() as held:
        first = os.getpid() * STRIDE % len(PORTS)
        for port in (*PORTS[first:], *PORTS[:first]):
            if len(found) == count:
                break
            with ExitStack() as pair:
                try:
                    for number in (port, port + GRPC_OFFSET):
                        listener = pair.enter_context(socket.socket())
                        listener.bind(("127.0.0.1", number))
                except OSError:
                    continue
                held.enter_context(pair.pop_all())
                found.append(port)
    assert len(found) == count, "no free ports"
    return found


def _await(server: S3Server, process: subprocess.Popen[bytes], folder: Path) -> bool:
    """Until an object can be written: that the port is open means nothing yet. False when another process has
    taken one of its ports."""
    bucket = open_bucket(server.url(), options=ADMIN)
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            log = _log(folder)
            assert any(words in log for words in PORT_TAKEN), f"weed ended: {log}"
            return False
        try:
            bucket.put("ready", b"")
            bucket.delete("ready")
            return True
        except BucketError:
            time.sleep(0.1)
    raise AssertionError(f"weed did not start in {START_LIMIT_S} s: {_log(folder)}")


def _log(folder: Path) -> str:
    return (folder / LOG).read_text()[-2000:]
