"""The examples in docs/protocol.md are real: they parse, agree, and their hashes are right."""

from __future__ import annotations

import json
import re
from pathlib import Path

from outlast.bucket.manifest import manifest_ref, parse_manifest
from outlast.bucket.pointer import parse_pointer
from outlast.protocol.codec import dump

DOCUMENT = Path(__file__).parents[3] / "docs" / "protocol.md"
EXAMPLE = re.compile(r"```json\n(.*?)```", re.DOTALL)


def test_the_examples_are_what_the_program_reads_and_writes() -> None:
    first, second = (json.loads(text) for text in EXAMPLE.findall(DOCUMENT.read_text("utf-8")))
    pointer = parse_pointer(json.dumps(first).encode(), "own-8c41f2", "jb-3b9d07")
    assert json.loads(dump(pointer)) == first, "the document shows every field, and no other"
    assert pointer.head is not None
    body = json.dumps(second, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    manifest = parse_manifest(body, pointer.head, pointer.owner, pointer.job)
    assert dump(manifest) == body
    assert manifest_ref(manifest) == pointer.head
    assert manifest.parent in pointer.kept
