"""Where every tensor of a save goes, and how a copy is shared between threads."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from outlast.writing.layout import TensorSpec, spread
from outlast.writing.memory import split


@given(
    st.lists(st.tuples(st.sampled_from(["F32", "BF16", "BOOL"]), st.integers(0, 40), st.sampled_from("ab"))),
    st.integers(1, 200),
)
@settings(max_examples=50, deadline=None)
def test_every_tensor_has_one_place_aligned_for_its_type(
    entries: list[tuple[str, int, str]], most: int
) -> None:
    specs = [TensorSpec(f"t{n}", dtype, (size,), group) for n, (dtype, size, group) in enumerate(entries)]
    files = spread(specs, most)
    placed = [spec for file in files for spec, _ in file.tensors]
    assert sorted(placed, key=lambda spec: spec.name) == sorted(specs, key=lambda spec: spec.name)
    for file in files:
        end = len(file.header)
        assert end % 4096 == 0
        for spec, at in file.tensors:
            assert at == end
            assert at % {"F32": 4, "BF16": 2, "BOOL": 1}[spec.dtype] == 0
            end += spec.size
        assert end == file.size
        assert len(file.tensors) == 1 or file.size - len(file.header) <= most


@given(st.lists(st.integers(0, 1000)), st.integers(1, 8))
@settings(max_examples=50, deadline=None)
def test_shares_of_a_copy_are_even_and_whole(sizes: list[int], parts: int) -> None:
    moves, at = [], 0
    for size in sizes:
        moves.append((at, at + 10_000_000, size))
        at += size
    shares = split(moves, parts)
    assert len(shares) <= parts
    pieces = [piece for share in shares for piece in share]
    end = 0
    for to, source, size in pieces:
        assert (to, source) == (end, end + 10_000_000)
        end += size
    assert end == at
