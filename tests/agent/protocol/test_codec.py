"""The codec: what was written is read back, and what does not fit is named by its place."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

import pytest

from outlast.protocol.codec import FormatError, dump, from_json, load, to_json


class Colour(str, enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Part:
    name: str
    size: int
    share: float | None = None


@dataclass(frozen=True)
class Whole:
    colour: Colour
    parts: tuple[Part, ...]
    pairs: tuple[tuple[int, str], ...] = ()
    notes: dict[str, float] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    first: Part | None = None
    on: bool = False
    anything: Any = None

    def __post_init__(self) -> None:
        if len(self.parts) > 3:
            raise ValueError("too many parts")


WHOLE = Whole(
    Colour.BLUE,
    (Part("a", 1), Part("b", 2, 0.5)),
    ((1, "x"), (2, "y")),
    {"loss": 1.0},
    frozenset({"q", "p"}),
    Part("c", 3),
    True,
    {"x": [1]},
)


def test_what_was_written_is_read_back() -> None:
    assert load(Whole, dump(WHOLE)) == WHOLE


def test_equal_values_are_equal_bytes() -> None:
    again = from_json(Whole, to_json(WHOLE))
    assert dump(again) == dump(WHOLE)


def test_unknown_fields_are_ignored_and_missing_ones_take_the_default() -> None:
    body = b'{"colour": "red", "parts": [], "from a newer version": 1}'
    assert load(Whole, body) == Whole(Colour.RED, ())


def test_a_whole_number_is_a_number() -> None:
    assert from_json(Part, {"name": "a", "size": 1, "share": 2}).share == 2.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "green"}, 'colour: expected one of red, blue, found "green"'),
        ({"parts": [{"name": "a", "size": "x"}]}, 'parts[0].size: expected a whole number, found "x"'),
        ({"parts": [{"name": "a", "size": 1}, {"size": 1}]}, "parts[1].name: missing"),
        ({"parts": {}}, "parts: expected a list, found {}"),
        ({"parts": [{"name": "a", "size": True}]}, "parts[0].size: expected a whole number, found true"),
        ({"pairs": [[1, "x", 2]]}, 'pairs[0]: expected a list of 2, found [1, "x", 2]'),
        ({"notes": {"loss": "x"}}, 'notes.loss: expected a number, found "x"'),
        ({"notes": []}, "notes: expected an object, found []"),
        ({"first": {"name": 1, "size": 1}}, "first.name: expected text, found 1"),
        ({"on": 1}, "on: expected true or false, found 1"),
        ({"parts": [{"name": "a", "size": 1}] * 4}, "the object: too many parts"),
    ],
)
def test_what_does_not_fit_is_named_by_its_place(change: dict[str, Any], message: str) -> None:
    value = {"colour": "red", "parts": [], **change}
    with pytest.raises(FormatError) as caught:
        from_json(Whole, value)
    assert str(caught.value) == message


@pytest.mark.parametrize("body", [b"", b"\xff", b"{", b"[]", b"null"])
def test_garbage_is_an_error_of_format(body: bytes) -> None:
    with pytest.raises(FormatError):
        load(Whole, body)


def test_a_type_without_a_rule_is_our_mistake() -> None:
    @dataclass(frozen=True)
    class Odd:
        value: complex

    with pytest.raises(TypeError, match="no rule"):
        from_json(Odd, {"value": 1})
