"""Into which parts a large file is cut: as many as S3 takes, and little of it in memory at once."""

from __future__ import annotations

import pytest

from outlast.bucket.transfer import part_bytes, parts_in_flight

GIB, TIB = 1 << 30, 1 << 40


@pytest.mark.parametrize("size", [9 << 20, GIB, 70 * GIB, 200 * GIB, TIB, 5 * TIB])
def test_a_file_of_any_size_fits_into_the_parts_that_s3_takes(size: int) -> None:
    part = part_bytes(size)
    assert 5 << 20 <= part <= 5 << 30
    assert -(-size // part) <= 10_000


@pytest.mark.parametrize("size", [9 << 20, GIB, 70 * GIB, 120 * GIB])
def test_what_is_in_flight_does_not_grow_with_the_file(size: int) -> None:
    part = part_bytes(size)
    assert part * parts_in_flight(part, mapped=False) <= 32 << 20
    assert part * parts_in_flight(part, mapped=True) <= 64 << 20


def test_one_part_is_never_alone_on_its_way() -> None:
    for mapped in (False, True):
        assert parts_in_flight(part_bytes(5 * TIB), mapped=mapped) == 2
