from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.nesting import leaves, rebuilt


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclasses.dataclass
class Fields:
    logits: Any
    states: Any = None


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (7, [""]),
        (None, [""]),
        ([], []),
        ([7, None], ["0", "1"]),
        ({"a": (7, [7]), 3: 7}, ["a.0", "a.1.0", "3"]),
        (Pair(7, {"b": 7}), ["left", "right.b"]),
        (Fields(7), ["logits", "states"]),
        (Fields, [""]),  # the class itself is no container
    ],
)
def test_leaves_are_named_by_keys_fields_and_numbers(value: Any, names: list[str]) -> None:
    assert [name for name, _ in leaves(value)] == names


def test_only_outermost_numbers_get_a_word_before_them() -> None:
    assert [name for name, _ in leaves((7, [7], {"a": [7]}), first="y_")] == [
        "y_0",
        "y_1.0",
        "y_2.a.0",
    ]
    assert [name for name, _ in leaves({"a": [7]}, first="y_")] == ["a.0"]
    assert [name for name, _ in leaves(Pair(7, 7), first="y_")] == ["left", "right"]


NESTED = st.recursive(
    st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=3)
        | st.builds(Pair, inner, inner)
    ),
)


@given(NESTED)
def test_leaves_put_back_make_the_same_again(value: Any) -> None:
    values = [leaf for _, leaf in leaves(value)]
    again = rebuilt(value, iter(values))
    assert again == value
    assert type(again) is type(value)
    assert rebuilt(value, iter(range(len(values)))) == rebuilt(again, iter(range(len(values))))
