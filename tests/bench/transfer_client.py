"""One transfer by one client in a process of its own, timed from inside: WHAT ENDPOINT FILE."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

KEYS = {"access_key_id": "any", "secret_access_key": "any"}


def ours_up(endpoint: str, file: Path) -> Callable[[], object]:
    """As the agent does it: from a stable copy, every file and chunk hashed."""
    from outlast.bucket.client import open_bucket
    from outlast.clock import SystemRuntime
    from outlast.protocol.objects import Confidence
    from outlast.save.sources import MappedSource
    from outlast.save.types import StableCopy, StableFile
    from outlast.save.upload import upload

    bucket, runtime = open_bucket(_url(endpoint), options=KEYS), SystemRuntime()
    bucket.put("warm", b"x")
    files = (StableFile("model", MappedSource(file, file.stat().st_size)),)
    copy = StableCopy(1, "bench", Confidence.STRONG, files, lambda: None, mapped=True)
    return lambda: upload(bucket, runtime, copy, "000000001-g1-aa", None, lambda done, total: None)


def boto3_up(endpoint: str, file: Path) -> Callable[[], object]:
    client = _boto3(endpoint)
    return lambda: client.upload_file(str(file), "test", "model")


def ours_down(endpoint: str, file: Path) -> Callable[[], object]:
    """Restored by the agent's code, then used as `Checkpointer` uses it: tensors over the mapped file."""
    import torch  # noqa: F401  # a trainer has it loaded already, and so has boto3's side here
    from safetensors import safe_open

    from outlast.bucket.client import open_bucket
    from outlast.clock import SystemRuntime
    from outlast.fetch import fetch_all
    from outlast.protocol.codec import load
    from outlast.protocol.objects import Manifest
    from outlast.sink import FolderSink

    bucket, runtime = open_bucket(_url(endpoint), options=KEYS), SystemRuntime()
    manifest = load(Manifest, file.with_suffix(".manifest").read_bytes())
    folder = Path(os.environ["BENCH_FOLDER"])
    sink = FolderSink(folder / "staging", lambda _: folder / "checkpoint")

    def go() -> None:
        fetch_all(runtime, bucket, manifest, sink)
        sink.place(manifest)
        with safe_open(folder / "checkpoint" / "model", framework="pt", device="cpu") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        _touch(tensors)

    return go


def boto3_down(endpoint: str, file: Path) -> Callable[[], object]:
    import torch

    client, target = _boto3(endpoint), Path(os.environ["BENCH_FOLDER"]) / "model.pt"

    def go() -> None:
        client.download_file("test", "model", str(target))
        _touch(torch.load(target))

    return go


def _touch(tensors: dict[str, Any]) -> None:
    """Ready means that no page is left to be brought in."""
    assert all(tensor.view(-1)[::1024].sum().isfinite() for tensor in tensors.values())


def _url(endpoint: str) -> str:
    plain = "" if endpoint.startswith("https:") else "&allow_http=true"
    return f"s3://test/?endpoint={endpoint}{plain}"


def _boto3(endpoint: str) -> Any:
    import boto3  # type: ignore[import-untyped]

    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",  # the null server looks at none
        verify=os.environ.get("SSL_CERT_FILE"),
    )
    client.put_object(Bucket="test", Key="warm", Body=b"x")
    return client


WAYS = {"ours_up": ours_up, "boto3_up": boto3_up, "ours_down": ours_down, "boto3_down": boto3_down}


def main(what: str, endpoint: str, file: str) -> None:
    go = WAYS[what](endpoint, Path(file))
    begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
    go()
    spent = {"s": time.perf_counter() - begun_s, "cpu_s": time.process_time() - begun_cpu_s}
    sys.stdout.write(json.dumps(spent) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
