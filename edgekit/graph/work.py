# ruff: noqa: SIM905 - words in lines are read and kept in order more easily than quoted ones
"""How many operations a node takes at given sizes, and how many bytes it must move.

An operation is an addition or a multiplication of two numbers: what multiplies and adds up has two
for every pair (Sze et al., "Efficient Processing of Deep Neural Networks", 2017, counts MACs: half
as many). Everything else has one an element, whatever it computes: what bounds those is memory.
Bytes are what a node can't do without: weights and inputs read once, outputs written once. A cache
that holds a value between two nodes makes that less, one that is too small makes it more.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from edgekit.graph.multiplying import multiply_adds
from edgekit.graph.sized import SizedNode

ONNX = ("", "ai.onnx")

_PER_ELEMENT = frozenset(
    """
    Abs Acos Acosh Add And Asin Asinh Atan Atanh BatchNormalization BiasGelu BiasSplitGelu
    BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BitShift Cast CastLike Ceil Celu Clip Cos Cosh
    CumSum DequantizeLinear Div DynamicQuantizeLinear Elu Equal Erf Exp FastGelu Floor Gelu
    GlobalAveragePool GlobalMaxPool GlobalLpPool Greater GreaterOrEqual GroupNormalization
    HardSigmoid HardSwish Hardmax InstanceNormalization IsInf IsNaN LRN LayerNormalization
    LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization Max Mean MeanVarianceNormalization
    Min Mish Mod Mul Neg Not Or PRelu Pow QLinearAdd QLinearGlobalAveragePool QLinearLeakyRelu
    QLinearMul QLinearSigmoid QLinearSoftmax QuantizeLinear QuickGelu RMSNormalization Reciprocal
    ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
    ReduceSum ReduceSumSquare Relu Resize RotaryEmbedding Round Selu Shrink Sigmoid Sign
    SimplifiedLayerNormalization Sin Sinh SkipLayerNormalization SkipSimplifiedLayerNormalization
    Softmax Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Upsample Where Xor
    ArgMax ArgMin EmbedLayerNormalization
    """.split()
)
_POOLS = frozenset({"AveragePool", "MaxPool", "LpPool", "NhwcMaxPool", "QLinearAveragePool"})
_MOVING = frozenset(
    """
    Concat Compress DepthToSpace EyeLike Expand OneHot Pad QLinearConcat QLinearWhere
    RandomNormalLike ReorderInput ReorderOutput ReverseSequence ScatterElements ScatterND
    SpaceToDepth Tile Transpose Trilu MemcpyFromHost MemcpyToHost
    """.split()
)
_PICKING = frozenset(
    "Gather GatherElements GatherND GatherBlockQuantized QGather Slice Split".split()
)
"""What reads as much as it gives, however large the thing is that it picks from."""
_NOTHING = frozenset(
    """
    Constant ConstantOfShape Flatten Identity If Loop Range Reshape Scan Shape Size Squeeze
    Unsqueeze
    """.split()
)
"""What looks at a value in another shape, tells of one, or runs nodes that are counted."""


class Work(msgspec.Struct, frozen=True):
    """What a node does: operations, bytes, and whether it multiplies 8-bit integers or floats.

    `constant_bytes` of the bytes are weights, which lie in memory from run to run; the others are
    values, which the node before has just written.
    """

    operations: int
    bytes: int
    kind: Literal["float", "int8"] = "float"
    constant_bytes: int = 0


def work_of(node: SizedNode) -> Work | None:
    """Count a node's operations and bytes; None where its operator or its sizes aren't known."""
    if node.operator in _NOTHING:
        return Work(0, 0)
    if not node.known:
        return None
    pairs = multiply_adds(node)
    if pairs is not None:
        kind: Literal["float", "int8"] = "int8" if _in_integers(node) else "float"
        return Work(2 * pairs, _moved(node), kind, node.constant_bytes)
    elements = max((one.elements for one in (*node.inputs, *node.outputs) if one), default=0)
    if node.operator in _PER_ELEMENT:
        return Work(elements, _moved(node), constant_bytes=node.constant_bytes)
    if node.operator in _POOLS:
        out = node.output()
        window = math.prod(node.attributes.get("kernel_shape", ()))
        return Work(out.elements * window if out else 0, _moved(node))
    if node.operator in _MOVING:
        return Work(0, _moved(node))
    if node.operator in _PICKING:
        written = sum(one.nbytes for one in node.outputs if one)
        return Work(0, 2 * written + sum(one.nbytes for one in node.inputs[1:] if one))
    return None


def _moved(node: SizedNode) -> int:
    return sum(one.nbytes for one in (*node.inputs, *node.outputs) if one)


def _in_integers(node: SizedNode) -> bool:
    """Tell whether a node multiplies 8-bit integers.

    MatMulNBits does where its activations become 8 bits, too (`accuracy_level` 4); what is
    quantized inside of a kernel (DynamicQuantizeLSTM) comes in as float.
    """
    if node.operator == "MatMulNBits":
        return bool(node.attributes.get("accuracy_level", 0) == 4)
    first = node.input(0)
    return node.operator.startswith("DynamicQuantize") or (
        first is not None and first.dtype in ("uint8", "int8")
    )
