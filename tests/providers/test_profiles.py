"""Profiles from dynamic ranges: everything inside stays inside, and what is bounded is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import BadValue
from edgekit.providers import Occasion
from edgekit.providers.profiles import (
    FLOOR,
    LARGEST,
    Profile,
    as_options,
    options,
    profile,
    reachable,
)
from edgekit.tensors import Dim, Signature, TensorSpec, dynamic_dims

TENSORRT = "trt_profile_{bound}_shapes"


def taking(*inputs: TensorSpec) -> Signature:
    return Signature(inputs, (TensorSpec("y", "float32", (1,)),))


def parsed(text: str) -> dict[str, tuple[int, ...]]:
    """Read an option as both providers do: commas, the first colon, x."""
    found = {}
    for pair in text.split(","):
        name, shape, *_ = pair.split(":")
        found[name] = tuple(int(size) for size in shape.split("x"))
    return found


IMAGE = TensorSpec("image", "float32", (Dim("batch", 1, 8), 3, 224, 224))
MASK = TensorSpec("mask", "int64", (Dim("batch", 1, 8), Dim("time", 2)))
SCALE = TensorSpec("scale", "float32", ())
FIXED = TensorSpec("fixed", "float32", (1, 7))


def test_options_hold_every_dynamic_input_and_nothing_else() -> None:
    made = profile(taking(IMAGE, SCALE, MASK, FIXED))
    written = options(made, TENSORRT)
    assert written == {
        "trt_profile_min_shapes": "image:1x3x224x224,mask:1x2",
        "trt_profile_opt_shapes": "image:3x3x224x224,mask:3x11",
        "trt_profile_max_shapes": "image:8x3x224x224,mask:8x64",
    }
    rtx = options(made, "nv_profile_{bound}_shapes")
    assert list(rtx.values()) == list(written.values())
    assert list(rtx) == [f"nv_profile_{end}_shapes" for end in ("min", "opt", "max")]


def test_options_of_an_occasion_use_the_sizes_that_it_tells_of() -> None:
    occasion = Occasion(signature=taking(MASK), sizes=({"batch": 4, "time": 300},))
    assert as_options(occasion, TENSORRT) == {
        "trt_profile_min_shapes": "mask:1x2",
        "trt_profile_opt_shapes": "mask:4x300",
        "trt_profile_max_shapes": "mask:8x300",
    }
    assert as_options(Occasion(), TENSORRT) == {}


@pytest.mark.parametrize("inputs", [(), (SCALE,), (FIXED, SCALE)])
def test_nothing_is_written_when_nothing_is_dynamic(inputs: tuple[TensorSpec, ...]) -> None:
    made = profile(taking(*inputs))
    assert made == Profile()
    assert options(made, TENSORRT) == {}
    assert reachable(taking(*inputs), made) == taking(*inputs)


def test_a_dimension_without_an_end_is_bounded_and_said() -> None:
    assert profile(taking(IMAGE, MASK)).bounded == {"time": FLOOR}
    assert profile(taking(MASK), seen=[{"time": 5}]).bounded == {"time": FLOOR}
    made = profile(taking(MASK), seen=[{"batch": 1, "time": 300}, {"batch": 2, "time": 90}])
    assert made.bounded == {"time": 300}
    assert made.inputs["mask"].highest == (8, 300)
    start = TensorSpec("x", "float32", (Dim("n", 1000),))
    assert profile(taking(start)).bounded == {"n": 1000}
    assert profile(taking(MASK), floor=512).bounded == {"time": 512}


def test_the_optimum_is_the_commonest_size_seen() -> None:
    seen = [{"batch": n, "time": t} for n, t in ((1, 7), (1, 9), (4, 9), (100, 1))]
    assert profile(taking(MASK), seen=seen).inputs["mask"].optimum == (1, 9)
    # As many of each: an engine that is good at the large one is not bad at the small one.
    tied = [{"batch": 2}, {"batch": 6}]
    assert profile(taking(IMAGE), seen=tied).inputs["image"].optimum[0] == 6


@pytest.mark.parametrize("name", ["input:0", "a,b", ":"])
def test_a_name_that_cannot_be_written_is_refused(name: str) -> None:
    with pytest.raises(BadValue, match=r"profile cannot be .*rename the input"):
        profile(taking(IMAGE, TensorSpec(name, "float32", (Dim("n"),))))
    # It isn't written where its shape is fixed, so it may have any name there.
    assert profile(taking(IMAGE, TensorSpec(name, "float32", (2,)))).inputs.keys() == {"image"}


@pytest.mark.parametrize("name", ["x", "1x2", "a;b", "torch.float x", "ä"])
def test_other_names_survive_the_parser(name: str) -> None:
    made = profile(taking(TensorSpec(name, "float32", (Dim("n", 1, 4), 2))))
    assert parsed(options(made, TENSORRT)["trt_profile_max_shapes"]) == {name: (4, 2)}


def test_a_size_that_tensorrt_has_no_number_for_is_refused() -> None:
    with pytest.raises(BadValue, match="the dimension n of a TensorRT profile"):
        profile(taking(TensorSpec("x", "float32", (Dim("n", 1, LARGEST + 1),))))


def test_a_signature_ends_where_its_profile_does() -> None:
    signature = taking(IMAGE, MASK, SCALE)
    ended = reachable(signature, profile(signature, seen=[{"time": 90}]))
    assert ended is not None
    assert dynamic_dims(ended) == {"batch": Dim("batch", 1, 8), "time": Dim("time", 2, 90)}
    assert ended.inputs[0] == IMAGE
    assert reachable(taking(IMAGE), profile(taking(IMAGE))) == taking(IMAGE)
    assert reachable(None, Profile()) is None


def inside(made: Profile, shapes: dict[str, list[int]]) -> bool:
    """Tell whether TensorRT takes these shapes, as its own rule is."""
    return all(
        low <= size <= high
        for name, limits in made.inputs.items()
        for low, size, high in zip(limits.lowest, shapes[name], limits.highest, strict=True)
    )


@st.composite
def signatures(draw: st.DrawFn) -> Signature:
    dims = [
        Dim(name, low, None if draw(st.booleans()) else low + draw(st.integers(0, 5000)))
        for name in "abc"
        for low in [draw(st.integers(0, 300))]
    ]
    sizes: list[int | Dim] = [1, 3, 224, *dims]
    shapes = st.lists(st.sampled_from(sizes), max_size=4)
    return taking(
        *(
            TensorSpec(f"in{n}", "float32", tuple(draw(shapes)))
            for n in range(draw(st.integers(0, 4)))
        )
    )


@given(signatures(), st.data())
def test_every_size_within_the_ranges_is_inside_the_profile(
    signature: Signature, data: st.DataObject
) -> None:
    dims = dynamic_dims(signature)
    seen = data.draw(
        st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 10_000)), max_size=5)
    )
    made = profile(signature, seen=seen)
    ended = reachable(signature, made)
    assert ended is not None
    sizes = {
        name: data.draw(st.integers(dim.low, dim.high or dim.low))
        for name, dim in dynamic_dims(ended).items()
    }
    shapes = {
        spec.name: [sizes[size.name] if isinstance(size, Dim) else size for size in spec.shape]
        for spec in signature.inputs
    }
    assert inside(made, shapes)
    assert made.bounded.keys() == {name for name, dim in dims.items() if dim.high is None}
    for end in made.bounded.values():
        assert end >= FLOOR
    for shapes_of in made.inputs.values():
        for low, best, high in zip(
            shapes_of.lowest, shapes_of.optimum, shapes_of.highest, strict=True
        ):
            assert low <= best <= high
    if made.inputs:
        written = [parsed(text) for text in options(made, TENSORRT).values()]
        ends = [(r.lowest, r.optimum, r.highest) for r in made.inputs.values()]
        assert [tuple(one[name] for one in written) for name in made.inputs] == ends
