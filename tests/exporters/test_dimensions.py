from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import BadValue, UnknownName
from edgekit.tensors import Dim
from exporters.dimensions import parse_option, resolve

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(lambda n: n != "_")


@st.composite
def dims(draw: st.DrawFn) -> Dim:
    low = draw(st.integers(1, 50))
    high = draw(st.none() | st.integers(low + 1, 100))
    return Dim(draw(NAMES), low, high)


@given(st.lists(dims() | st.none(), min_size=1, max_size=5, unique_by=lambda d: d and d.name))
def test_resolve_gives_back_the_dimensions_that_text_names(axes: list[Dim | None]) -> None:
    shape = [7 if dim is None else dim.low for dim in axes]
    texts = [None if dim is None else str(dim) for dim in axes]
    assert resolve({"x": texts}, {"x": shape})["x"] == tuple(
        size if dim is None else dim for dim, size in zip(axes, shape, strict=True)
    )


@given(st.lists(st.none() | NAMES, min_size=1, max_size=4))
def test_parse_option_reads_what_the_command_line_writes(axes: list[str | None]) -> None:
    text = ",".join(axis or "_" for axis in axes)
    assert parse_option(f"image={text}") == ("image", axes)


def test_parse_option_keeps_ranges_and_ignores_spaces() -> None:
    assert parse_option("x=batch:1..64, _ ,time:2..") == ("x", ["batch:1..64", None, "time:2.."])


@pytest.mark.parametrize("text", ["batch", "=batch", "x=", ""])
def test_parse_option_refuses_other_forms(text: str) -> None:
    with pytest.raises(BadValue, match="--dynamic cannot be"):
        parse_option(text)


def test_a_name_in_several_inputs_is_one_dimension_with_one_range() -> None:
    batch = Dim("batch", 1, 64)
    found = resolve(
        {"x": ["batch", None], "mask": ["batch:1..64"]}, {"x": (2, 3), "mask": (2,), "y": (5,)}
    )
    assert found == {"x": (batch, 3), "mask": (batch,), "y": (5,)}


def test_last_axes_that_are_not_named_are_fixed() -> None:
    assert resolve({"x": ["n"]}, {"x": (2, 3, 4)}) == {"x": (Dim("n"), 3, 4)}
    assert resolve({"x": [2, "_", "n"]}, {"x": (2, 3, 4)}) == {"x": (2, 3, Dim("n"))}


@pytest.mark.parametrize(
    ("dynamic", "sentence"),
    [
        ({"x": ["batch-size", None]}, "a dynamic dimension of x cannot be 'batch-size'"),
        ({"x": ["n:1-4", None]}, "cannot be 'n:1-4'"),
        ({"x": ["n:0..4", None]}, "the range of n cannot be 0..4: expected a low end of 1 or more"),
        ({"x": ["n:1..1", None]}, "the range of n cannot be 1..1"),
        ({"x": ["n:2..2", None]}, "and a high end above it"),
        ({"x": ["n:9..4", None]}, "the range of n cannot be 9..4"),
        ({"x": ["n:3..9", None]}, "n in the example for x cannot be 2: expected n:3..9"),
        ({"x": ["n:1..4", "n:1..5"]}, "the dimension n cannot be n:1..4 and n:1..5"),
        ({"x": ["n", "n"]}, "n in the example for x cannot be 3: expected 2"),
        ({"x": ["n"], "y": ["n"]}, "n in the example for y cannot be 5: expected 2, as in another"),
        ({"x": ["a", "b", "c"]}, r"the dynamic dimensions of x cannot be 3 axes.*\[2, 3\]"),
    ],
)
def test_resolve_refuses_what_cannot_be_meant(dynamic: dict[str, list[str]], sentence: str) -> None:
    with pytest.raises(BadValue, match=sentence):
        resolve(dynamic, {"x": (2, 3), "y": (5,)})


def test_resolve_names_the_inputs_that_there_are() -> None:
    with pytest.raises(UnknownName, match="no input 'imgae'; there is: image, mask"):
        resolve({"imgae": ["n"]}, {"image": (2,), "mask": (2,)})


@pytest.mark.parametrize("text", [f"n:1..{2**63}", f"n:{2**63}.."])
def test_a_range_beyond_every_size_is_refused(text: str) -> None:
    with pytest.raises(BadValue, match=r"below 2\^63"):
        resolve({"x": [text]}, {"x": (2,)})


def test_a_size_may_be_written_where_it_is_the_example_s() -> None:
    shapes = {"x": (2, 3)}
    assert resolve({"x": ["n", 3]}, shapes)["x"] == (Dim("n"), 3)
    assert resolve({"x": ["n", "3"]}, shapes)["x"] == (Dim("n"), 3)
    with pytest.raises(BadValue, match=r"fixed size of x cannot be 4.*\[2, 3\]"):
        resolve({"x": ["n", "4"]}, shapes)
