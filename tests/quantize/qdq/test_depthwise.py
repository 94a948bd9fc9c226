"""Which convolutions of single channels stay in float, and that others compute in integers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.random import default_rng

pytest.importorskip("onnx", reason="graphs are built with onnx")

from edgekit import providers
from edgekit.package.values import Target
from edgekit.providers.targets import X86
from edgekit.quantize.elements import read_typed
from edgekit.quantize.qdq.placing import place, values_to_measure

CPU = providers.find("cpu")
RULES = CPU.quant_rules("int8-static", Target(arch=X86, isa=("avx512_vnni",)))
WEIGHTS = {
    name: default_rng(0).standard_normal(shape).astype(np.float32)
    for name, shape in {
        "large": (4, 1, 7, 7),
        "middle": (4, 1, 5, 5),
        "small": (4, 1, 3, 3),
        "dense": (4, 4, 7, 7),
        "point": (4, 4, 1, 1),
    }.items()
}
LARGE = "Conv<group=4,pads=[3,3,3,3]>"


def integers(
    body: str, save: Callable[..., Path], *, fewest: int = RULES.float_depthwise
) -> tuple[list[str], list[str]]:
    """List what computes in integers in a graph, and what could and stays in float."""
    model = read_typed(
        save(f"(float[n,4,8,8] x) => (float[n,4,8,8] y) {{ {body} }}", weights=WEIGHTS)
    )
    rules = msgspec.structs.replace(RULES, float_depthwise=fewest)
    spans = dict.fromkeys(values_to_measure(model, rules), (-1.0, 1.0))
    placed = place(model, spans, rules=rules)
    return list(placed.nodes), list(placed.kept)


@pytest.mark.parametrize(
    ("body", "nodes", "kept"),
    [
        (f"a = Erf(x) c = {LARGE}(a, large) y = Erf(c)", [], ["Conv:c"]),
        (f"a = Erf(x) c = {LARGE}(a, large) r = Relu(c) y = Erf(r)", [], ["Conv:c"]),
        (f"c = {LARGE}(x, large) e = Erf(c) y = Conv(e, point)", ["Conv:y"], ["Conv:c"]),
        (f"p = Conv(x, point) c = {LARGE}(p, large) y = Erf(c)", ["Conv:p", "Conv:c"], []),
        (f"a = Erf(x) c = {LARGE}(a, large) y = Conv(c, point)", ["Conv:c", "Conv:y"], []),
        (f"c = {LARGE}(x, large) r = Relu(c) y = Conv(r, point)", ["Conv:c", "Conv:y"], []),
        ("a = Erf(x) c = Conv<group=4,pads=[2,2,2,2]>(a, middle) y = Erf(c)", [], ["Conv:c"]),
        ("a = Erf(x) c = Conv<group=4,pads=[1,1,1,1]>(a, small) y = Erf(c)", ["Conv:c"], []),
        ("a = Erf(x) c = Conv<pads=[3,3,3,3]>(a, dense) y = Erf(c)", ["Conv:c"], []),
    ],
    ids=[
        "between floats",
        "its Relu",
        "floats up to a product",
        "integers come in",
        "integers go out",
        "integers behind its Relu",
        "as many products as it takes",
        "few products",
        "all channels",
    ],
)
def test_a_large_convolution_of_single_channels_between_floats_stays_float(
    body: str, nodes: list[str], kept: list[str], save: Callable[..., Path]
) -> None:
    assert integers(body, save) == (nodes, kept)
    assert sorted(integers(body, save, fewest=0)[0]) == sorted([*nodes, *kept])


def test_what_is_left_alone_by_one_that_stays_is_float_too(save: Callable[..., Path]) -> None:
    body = f"a = Erf(x) b = Sin(x) s = Add(a, b) c = {LARGE}(s, large) y = Erf(c)"
    assert integers(body, save) == ([], ["Conv:c"])


@pytest.mark.parametrize(
    ("target", "scheme", "fewest"),
    [
        (Target(arch=X86, isa=("avx512_vnni",)), "int8-static", 25),
        (Target(arch=X86, isa=("avx_vnni",)), "int8-static", 49),
        (Target(arch=X86), "int8-static", 49),
        (Target(arch="aarch64"), "int8-static", 0),
        (Target(arch=X86), "int8-dynamic", 0),
    ],
)
def test_where_that_was_measured(target: Target, scheme: Any, fewest: int) -> None:
    assert CPU.quant_rules(scheme, target).float_depthwise == fewest
