"""The format of packs: what goes in comes out, and nothing else is ever unpacked."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import xxhash
import zstandard

from outlast.bucket.environments import BadEnvironment, Record, pack_entry
from outlast.environment.listing import NotPackable, fingerprint, listing
from outlast.environment.packs import Piece, decode, encode, plan
from outlast.environment.unpacking import Unpacker
from outlast.fetch import Unusable

PACK_BYTES = 1000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "made"
    (root / "bin").mkdir(parents=True)
    (root / "empty").mkdir(mode=0o700)
    (root / "bin" / "run").write_bytes(b"#!/bin/sh\n")
    (root / "bin" / "run").chmod(0o755)
    (root / "nothing").touch()
    (root / "large").write_bytes(os.urandom(4321))
    for number in range(20):
        (root / f"small{number}").write_bytes(b"x" * 77 * number)
    (root / "link").symlink_to("/usr/bin/python3")
    os.link(root / "large", root / "second name")
    (root / "odd \udcff name").write_bytes(b"no text")
    os.utime(root / "bin" / "run", ns=(1, 1_234_567_890_123_456_789))
    return root


def packed(root: Path) -> list[bytes]:
    plans = plan(listing(root), PACK_BYTES)
    return [encode([(piece, _body(root, piece)) for piece in pieces]) for pieces in plans]


def _body(root: Path, piece: Piece) -> bytes:
    if piece.item.kind != "f":
        return b""
    return (root / piece.item.path).read_bytes()[piece.offset : piece.offset + piece.length]


def record(files: int, size: int) -> Record:
    return Record(1, "own", "d", {}, "", files, size, 1.0, ())


def unpack(packs: list[bytes], target: Path, whole: Record) -> list[int]:
    target.mkdir()
    arrived: list[int] = []
    unpacker = Unpacker(target, arrived.append)
    for number, body in enumerate(packs):
        entry = pack_entry("d", number, len(body), xxhash.xxh3_128_hexdigest(body))
        assert unpacker.write(entry, 0, iter([body[:10], memoryview(body)[10:]])) == len(body)
    unpacker.finish(whole)
    return arrived


def _whole(root: Path) -> Record:
    items = [item for item in listing(root) if item.kind != "d"]
    return record(len(items), sum(item.size for item in items))


@pytest.mark.parametrize("order", [1, -1], ids=["in order", "the last first"])
def test_a_folder_comes_out_as_it_went_in(root: Path, tmp_path: Path, order: int) -> None:
    packs = packed(root)
    assert len(packs) > 10
    arrived = unpack(packs[::order], tmp_path / "out", _whole(root))
    before, after = listing(root), listing(tmp_path / "out")

    def seen(items: list) -> list:  # type: ignore[type-arg]
        return [(i.path, i.kind, i.mode, i.size, i.mtime_ns, i.target) for i in items]

    assert seen(after) == seen(before)
    for item in before:
        if item.kind == "f":
            assert (root / item.path).read_bytes() == (tmp_path / "out" / item.path).read_bytes()
    assert sum(arrived) == sum(item.size for item in before)


def test_the_same_folder_gives_the_same_packs(root: Path) -> None:
    assert packed(root) == packed(root)


def test_no_pack_is_larger_than_it_may_be(root: Path) -> None:
    for pieces in plan(listing(root), PACK_BYTES):
        assert sum(piece.length for piece in pieces) <= PACK_BYTES


def rows(*changes: list[object], body: bytes = b"abc") -> bytes:
    head = json.dumps(list(changes)).encode()
    return zstandard.compress(len(head).to_bytes(8, "big") + head + body)


def row(path: object = "f", kind: object = "f", size: object = 3, **other: object) -> list[object]:
    offset, length = other.get("offset", 0), other.get("length", 3)
    return [path, kind, 0o644, 0, size, other.get("target", ""), offset, length]


BAD = {
    "up": rows(row("../out")),
    "absolute": rows(row("/out")),
    "through up": rows(row("a/../../out")),
    "empty part": rows(row("a//b")),
    "null": rows(row("a\0b")),
    "no path": rows(row("")),
    "hard link out": rows(row("a", "h", 0, length=0, target="../../etc/passwd"), body=b""),
    "device": rows(row("a", "c")),
    "no text": rows(row(7)),
    "beyond its end": rows(row(size=2)),
    "before its begin": rows(row(offset=-1)),
    "too short": rows(row(size=9, length=9)),
    "too long": rows(row(), body=b"abcd"),
    "yes as a number": rows(row(size=True, length=True), body=b"a"),
    "no row": rows(["f"]),
    "no list": zstandard.compress((2).to_bytes(8, "big") + b"{}"),
    "no JSON": zstandard.compress((2).to_bytes(8, "big") + b"{["),
    "no length": zstandard.compress(b"abc"),
    "no frame": b"abc",
    "a bomb": zstandard.compress(b"\0" * (200 << 20)),
}


@pytest.mark.parametrize("name", BAD)
def test_what_no_packer_of_ours_writes_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadEnvironment):
        list(decode(BAD[name]))
    with pytest.raises(Unusable):
        unpack([BAD[name]], tmp_path / "out", record(1, 3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = row("a", "l", 0, length=0, target=str(outside))
    with pytest.raises(OSError, match="exists"):
        unpack([rows(link, row("a/f"))], tmp_path / "out", record(2, 3))
    assert list(outside.iterdir()) == []


def test_bytes_that_are_not_the_right_ones_are_not_even_looked_at(tmp_path: Path) -> None:
    body = rows(row())
    unpacker = Unpacker(tmp_path, lambda _: None)

    def wrong() -> Iterator[bytes]:
        yield body[:-1]
        yield b"?"

    assert unpacker.write(pack_entry("d", 0, len(body), "0" * 32), 0, wrong()) == len(body)
    assert list(tmp_path.iterdir()) == []


def test_a_pack_that_never_came_is_missed(root: Path, tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="files of"):
        unpack(packed(root)[:-1], tmp_path / "out", _whole(root))


def test_a_pipe_can_not_be_packed(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(NotPackable, match="pipe"):
        listing(root)


def test_the_fingerprint_sees_every_change_but_those_of_python_itself(root: Path) -> None:
    before = fingerprint(listing(root))
    (root / "bin" / "__pycache__").mkdir()
    (root / "bin" / "__pycache__" / "run.pyc").write_bytes(b"1")
    assert fingerprint(listing(root)) == before
    (root / "small3").write_bytes(b"y" * 77 * 3)
    changed = fingerprint(listing(root))
    assert changed != before
    (root / "link").unlink()
    (root / "link").symlink_to("/usr/bin/python2")
    assert fingerprint(listing(root)) != changed
