"""Changed copies of frozen values: the same as the standard library's, and as strict about names."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import pytest

from outlast.protocol.values import replace


@dataclass(frozen=True)
class Place:
    name: str
    tags: tuple[str, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Careful:
    count: int

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError("a count is never negative")


def test_a_copy_equals_that_of_the_standard_library() -> None:
    place = Place("a", ("x",), {"k": "v"})
    copy = replace(place, name="b", tags=())
    assert copy == dataclasses.replace(place, name="b", tags=())
    assert hash(replace(Place("a"), notes=())) == hash(Place("a", (), ()))  # type: ignore[arg-type]
    assert type(copy) is Place
    assert copy is not place


def test_the_original_keeps_its_values_and_both_stay_frozen() -> None:
    place = Place("a")
    copy = replace(place, name="b")
    assert (place.name, copy.name) == ("a", "b")
    for one in (place, copy):
        with pytest.raises(dataclasses.FrozenInstanceError):
            one.name = "c"  # type: ignore[misc]


def test_a_name_that_is_no_field_is_refused() -> None:
    with pytest.raises(TypeError, match="Place has no field nmae"):
        replace(Place("a"), nmae="b")  # type: ignore[call-arg]


def test_a_class_that_checks_itself_is_refused() -> None:
    with pytest.raises(TypeError, match="Careful checks its values"):
        replace(Careful(1), count=-1)
