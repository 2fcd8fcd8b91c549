"""What the names of files and folders say: a step, tensors inside, a safe place in the folder. Pure."""

from __future__ import annotations

import re

SUFFIXES = (".pt", ".pth", ".safetensors", ".ckpt", ".bin", ".distcp")
UNNUMBERED_FOLDERS = frozenset({"last", "latest", "current", "checkpoint", "ckpt", "model", "state"})
WORDS = "checkpoint|ckpt|global_?step|step|iteration|iter|epoch|save"
WORDED = re.compile(rf"(?:^|[-_.=])(?P<word>{WORDS})[-_=]?(?P<number>\d+)(?=$|[-_.=])", re.IGNORECASE)
SHARD = re.compile(r"-\d+-of-\d+")


def number_of(stem: str) -> int | None:
    """The step in a name: the number behind the word step if there is one, else the last lone number."""
    stem = SHARD.sub("", stem)
    worded = list(WORDED.finditer(stem))
    for match in worded:
        if "step" in match["word"].lower():
            return int(match["number"])
    if worded:
        return int(worded[-1]["number"])
    lone = [token for token in re.split(r"[-_.=]", stem) if token.isdigit()]
    return int(lone[-1]) if lone else None


def number_in(key: str) -> int | None:
    """The step in a relative path: the file's own, else that of the nearest folder above it that has one."""
    name, *above = reversed(key.split("/"))
    stems = [name.rsplit(".", 1)[0] if name.endswith(SUFFIXES) else name, *above]
    return next((number for number in map(number_of, stems) if number is not None), None)


def numbered(name: str) -> bool:
    """Such as a framework gives to its checkpoints: `step_100`, `epoch=3`, `500`."""
    return name.isdigit() or WORDED.search(name) is not None


def kind_text(kind: str, key: str, usual: str) -> str:
    """How a manifest names the kind: with the place behind a colon, unless it is the usual one."""
    return kind if key == usual else f"{kind}:{key}"


def place_in(kind: str, usual: str) -> str:
    """The relative place that such a text carries. It came from a bucket: what leads elsewhere is refused."""
    place = kind.partition(":")[2]
    parts = place.split("/")
    safe = place and not any(part in ("", ".", "..") for part in parts) and "\0" not in place
    return place if safe else usual
