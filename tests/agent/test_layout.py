"""Where every tensor of a save goes, and how a copy is shared between threads."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from outlast.writing.layout import TensorSpec, spread


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
