"""Operations and bytes, held against what is counted by hand from each operator's definition."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.graph.sized import Sized, SizedNode
from edgekit.graph.work import Work, work_of


def node(
    operator: str,
    *inputs: Any,
    out: Any = (),
    domain: str = "",
    known: bool = True,
    **attributes: Any,
) -> SizedNode:
    """Make a node of float32 values of these shapes; a type in front of a shape is another's."""

    def sized(one: Any) -> Sized | None:
        if one is None:
            return None
        return (
            Sized(one[0], tuple(one[1:]))
            if one and isinstance(one[0], str)
            else Sized("float32", one)
        )

    return SizedNode(
        "n", operator, domain, attributes, tuple(map(sized, inputs)), (sized(out),), known
    )


@pytest.mark.parametrize(
    ("made", "macs"),
    [
        # 32 · 12 · 12 outputs, each a kernel of 16 · 3 · 3
        (node("Conv", (1, 16, 14, 14), (32, 16, 3, 3), out=(1, 32, 12, 12)), 32 * 144 * 144),
        # depthwise: a kernel of 1 · 3 · 3
        (node("Conv", (1, 16, 8, 8), (16, 1, 3, 3), out=(1, 16, 8, 8), group=16), 16 * 64 * 9),
        (
            node(
                *("QLinearConv", ("uint8", 1, 8, 8, 16), (), ("uint8",), ("int8", 4, 16, 1, 1)),
                out=("uint8", 1, 8, 8, 4),
                domain="com.microsoft",
            ),
            4 * 64 * 16,
        ),
        # 2 · 8 · 4 · 4 inputs, each into 3 outputs of a group by 2 · 2
        (node("ConvTranspose", (2, 8, 4, 4), (8, 3, 2, 2), out=(2, 3, 8, 8)), 256 * 12),
        (node("MatMul", (5, 7, 3), (3, 11), out=(5, 7, 11)), 5 * 7 * 11 * 3),
        (node("MatMul", (3,), (3, 11), out=(11,)), 33),
        (node("Gemm", (3, 7), (3, 11), out=(7, 11), transA=1), 7 * 11 * 3),
        (node("MatMulNBits", (2, 64), ("uint8", 8, 2, 16), out=(2, 8), K=64, N=8), 2 * 8 * 64),
        (node("Einsum", (2, 3, 4), (2, 4, 5), out=(2, 3, 5), equation="bij,bjk->bik"), 120),
        (node("Einsum", (2, 3), (4, 3), out=(2, 4), equation=" ai , bi -> ab "), 24),
        # 10 steps of 2 rows through W (16 · 3) and R (16 · 4)
        (node("LSTM", (10, 2, 3), (1, 16, 3), (1, 16, 4), out=(10, 1, 2, 4)), 20 * (48 + 64)),
        # two directions: both are in W and R
        (node("GRU", (10, 1, 3), (2, 12, 3), (2, 12, 4), out=(10, 2, 1, 4)), 10 * (72 + 96)),
        # projections of 6 rows by 8 · 24, then scores and their sum over 6 rows of 8
        (
            node("Attention", (1, 6, 8), (8, 24), (24,), out=(1, 6, 8), domain="com.microsoft"),
            6 * (8 * 24 + 6 * (8 + 8)),
        ),
        (node("Attention", (1, 2, 6, 4), (1, 2, 9, 4), (1, 2, 9, 4), out=(1, 2, 6, 4)), 9 * 96),
        (
            node("MultiHeadAttention", (1, 6, 8), (1, 9, 8), (1, 9, 8), out=(1, 6, 8)),
            9 * (6 * 8 + 6 * 8),
        ),
        (node("MultiHeadAttention", (1, 6, 2, 3, 4), out=(1, 6, 8)), 6 * 6 * 2 * 8),
    ],
)  # fmt: skip
def test_a_product_multiplies_and_adds_each_pair(made: SizedNode, macs: int) -> None:
    work = work_of(made)
    assert work is not None
    assert work.operations == 2 * macs


@pytest.mark.parametrize(
    ("made", "work"),
    [
        (node("Relu", (2, 3), out=(2, 3)), Work(6, 48)),
        (node("GlobalAveragePool", (1, 4, 5, 5), out=(1, 4, 1, 1)), Work(100, 416)),
        (node("MaxPool", (1, 1, 4, 4), out=(1, 1, 2, 2), kernel_shape=[2, 2]), Work(16, 80)),
        (node("QuantizeLinear", (8,), (), out=("uint8", 8)), Work(8, 44)),
        (node("Transpose", (2, 3), out=(3, 2)), Work(0, 48)),
        # two rows of a table: it isn't read whole
        (node("Gather", (1000, 4), ("int64", 2), out=(2, 4)), Work(0, 2 * 32 + 16)),
        (node("Reshape", (2, 3), ("int64", 1), out=(6,)), Work(0, 0)),
        (node("Loop", known=False), Work(0, 0)),  # its nodes are counted where they run
        (node("Frobnicate", (2, 3), out=(2, 3)), None),
        (node("Relu", (2, 3), out=(2, 3), known=False), None),
        (node("Conv", (1, 2, 3, 3), None, out=(1, 2, 3, 3)), None),
        (node("Einsum", (2, 3), out=(2,), equation="...i->..."), None),
    ],
)
def test_others_take_an_operation_an_element(made: SizedNode, work: Work | None) -> None:
    assert work_of(made) == work


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (node("MatMulInteger", ("uint8", 2, 3), ("int8", 3, 4), out=("int32", 2, 4)), "int8"),
        (node("DynamicQuantizeMatMul", (2, 3), ("int8", 3, 4), out=(2, 4)), "int8"),
        (node("MatMulNBits", (2, 64), out=(2, 8), K=64, accuracy_level=4), "int8"),
        (node("MatMulNBits", (2, 64), out=(2, 8), K=64), "float"),
        (node("MatMul", (2, 3), (3, 4), out=(2, 4)), "float"),
    ],
)
def test_what_multiplies_integers_is_told(made: SizedNode, kind: str) -> None:
    work = work_of(made)
    assert work is not None
    assert work.kind == kind


def test_two_numbers_of_four_bits_share_a_byte() -> None:
    assert [Sized(kind, (3,)).nbytes for kind in ("int4", "bool", "float16", "text")] == [
        2,
        3,
        6,
        0,
    ]


def resnet50() -> str:
    """Write the convolutions of ResNet-50 (He et al. 2015, table 1) as ONNX's text."""
    lines: list[str] = []
    weights: list[str] = []
    now = "x"

    def conv(take: str, cin: int, cout: int, kernel: int, stride: int) -> str:
        give = f"v{len(lines)}"
        weight = f"w{len(lines)}"
        weights.append(f"float[{cout},{cin},{kernel},{kernel}] {weight}")
        lines.append(
            f"{give} = Conv <strides = [{stride}, {stride}], "
            f"pads = [{', '.join([str(kernel // 2)] * 4)}]> ({take}, {weight})"
        )
        return give

    now = conv("x", 3, 64, 7, 2)
    lines.append(
        f"p = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> ({now})"
    )
    now, cin = "p", 64
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            step = stride if block == 0 else 1
            inner = conv(
                conv(conv(now, cin, width, 1, 1), width, width, 3, step), width, 4 * width, 1, 1
            )
            skip = conv(now, cin, 4 * width, 1, step) if block == 0 else now
            lines.append(f"s{len(lines)} = Add ({inner}, {skip})")
            now, cin = f"s{len(lines) - 1}", 4 * width
    lines += [f"g = GlobalAveragePool ({now})", "f = Flatten (g)", "y = Gemm (f, fc)"]
    weights.append("float[2048,1000] fc")
    return (
        '<ir_version: 8, opset_import: ["": 17]> g (float[batch,3,224,224] x, '
        f"{', '.join(weights)}) => (float[batch,1000] y) {{ {' '.join(lines)} }}"
    )


def test_resnet_50_takes_4_1_billion_pairs(write_text: Callable[[str], Path]) -> None:
    pytest.importorskip("onnx")
    from edgekit.graph.inferred import infer_sizes

    counted = [work_of(one) for one in infer_sizes(write_text(resnet50()), {"x": (1, 3, 224, 224)})]
    assert None not in counted
    products = sum(work.operations for work in counted if work and work.operations) / 2e9
    # 4.089 of them; what the additions and pools have is the rest.
    assert products == pytest.approx(4.09, rel=0.005)
