"""Which nodes would be faster in float: what they cost in both, and the conversions that follow."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

onnx = pytest.importorskip("onnx", reason="explanations read the graph")

from edgekit.graph.loaded import LoadedNode  # noqa: E402
from edgekit.graph.ownership import Owner  # noqa: E402
from edgekit.graph.sized import SizedNode  # noqa: E402
from edgekit.measure.slowness.leaving import left_in_float, quantize_options  # noqa: E402
from edgekit.measure.slowness.running import RanNode, RanVariant  # noqa: E402
from edgekit.package.values import Recipe  # noqa: E402
from edgekit.runtime.kernels import Kernel  # noqa: E402

SOURCE = onnx.parser.parse_model(
    '<ir_version: 10, opset_import: ["": 20]> g (float[1,4,8,8] x, float[4,4,1,1] w) => '
    "(float[1,4,1,1] y) { [first] a = Conv(x, w) [act] b = HardSwish(a) [second] c = Conv(b, w) "
    "[mean] y = GlobalAveragePool(c) }"
)
ELEMENTS = 256


def ran(*nodes: tuple[str, str, str, float, str]) -> RanVariant:
    """Make what ran of nodes: label, operator, type of what it takes, µs, type of what it gives."""
    shape = [1, 4, 8, 8]
    return RanVariant(
        tuple(
            RanNode(
                Kernel(label, operator, "", us, 1, [(takes, shape)], [(gives, shape)]),
                LoadedNode(SizedNode(label, operator)),
                us,
                None,
                Owner(label, True),
            )
            for label, operator, takes, us, gives in nodes
        ),
        0.0,
    )


FLOATS = ran(
    ("first", "Conv", "float", 10.0, "float"),
    ("second", "Conv", "float", 20.0, "float"),
    ("mean", "GlobalAveragePool", "float", 2.0, "float"),
)


def integers(times: Mapping[str, float]) -> RanVariant:
    return ran(
        ("first", "QuantizeLinear", "float", 1.0, "uint8"),
        ("first", "QLinearConv", "uint8", times["first"], "uint8"),
        ("first", "DequantizeLinear", "uint8", 1.0, "float"),
        ("act", "HardSwish", "float", 15.0, "float"),
        ("act", "QuantizeLinear", "float", 1.0, "uint8"),
        ("second", "QLinearConv", "uint8", times["second"], "uint8"),
        ("second", "DequantizeLinear", "uint8", 1.0, "float"),
        ("mean", "GlobalAveragePool", "float", 90.0, "float"),
    )


def test_what_costs_more_than_it_would_in_float_is_named_with_what_belongs_to_it() -> None:
    found = left_in_float(SOURCE, FLOATS, integers({"first": 9.0, "second": 8.0}), longer_us=0.0)
    assert found is not None
    # The activation goes with the convolution that has it in its float kernel. What is in float
    # already, however slow, can't be left there.
    assert found.nodes == ("first", "act")
    # 27 µs in integers, 10 in float, and two passes of a conversion over what goes in: 1 µs each.
    assert found.us == pytest.approx(27.0 - 10.0 - 2.0)


def test_the_command_keeps_what_was_left_in_float_already() -> None:
    recipe = Recipe("int8-static", keep_float=("Add:sum of",))
    assert quantize_options(recipe, ["first", "Add:sum of"], name="int8", of="fp32") == (
        "--scheme int8-static --name int8-mixed --variant fp32 --keep-float 'Add:sum of' "
        "--keep-float first"
    )
    again = quantize_options(recipe, [], name="int8-mixed", of="fp32")
    assert again.startswith("--scheme int8-static --name int8-mixed --overwrite --variant fp32")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (-16.0, 20.9),  # what is won is less than the conversions that take its place
        (-3.5, 8.0),  # half a µs of 117
    ],
)
def test_what_wins_nothing_or_little_is_not_worth_a_try(first: float, second: float) -> None:
    made = integers({"first": first, "second": second})
    assert left_in_float(SOURCE, FLOATS, made, longer_us=0.0) is None


@pytest.mark.parametrize(("longer_us", "told"), [(14.9, True), (15.1, False)])
def test_what_would_still_be_slower_than_float_is_not_worth_a_try(
    longer_us: float, told: bool
) -> None:
    made = integers({"first": 9.0, "second": 8.0})
    assert (left_in_float(SOURCE, FLOATS, made, longer_us=longer_us) is not None) is told
