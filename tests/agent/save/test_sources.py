"""A mapped file gives the same bytes as a read one; one that is not whole is an error, not a signal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from outlast.save.sources import FileSource, MappedSource, SourceChanged

SIZE = 300_001


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(os.urandom(SIZE))
    return tmp_path / "file"


@pytest.mark.parametrize(("offset", "length"), [(0, SIZE), (1, 10), (4096, 4096), (70_000, 230_001), (5, 0)])
def test_a_mapped_part_is_the_part(path: Path, offset: int, length: int) -> None:
    mapped = MappedSource(path, SIZE).read(offset, length)
    assert bytes(mapped) == FileSource(path, SIZE).read(offset, length)
    assert length == 0 or isinstance(mapped, memoryview)


def test_a_mapped_part_outlives_the_file(path: Path) -> None:
    body = path.read_bytes()
    mapped = MappedSource(path, SIZE).read(0, SIZE)
    path.unlink()
    assert bytes(mapped) == body


def test_a_file_cut_short_is_told_before_it_is_touched(path: Path) -> None:
    source = MappedSource(path, SIZE)
    os.truncate(path, SIZE - 5000)
    with pytest.raises(SourceChanged, match="shorter"):
        source.read(SIZE - 100, 100)
