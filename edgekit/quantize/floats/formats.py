"""The floats of 16 bits that a model can be rewritten to, and what each of them holds."""

from __future__ import annotations

from typing import Literal

import msgspec
from onnx import TensorProto, helper

from edgekit.tensors import Array


class Format(msgspec.Struct, frozen=True):
    """A floating-point format, and from where on it holds too little.

    Attributes:
        name: ours, which is also that of its scheme.
        onnx_name: as ONNX's definitions of operators write it.
        element_type: ONNX's number of it.
        bits: of precision, the leading one included.
        largest: its largest finite value.
        smallest: below it a value is off by more than one part in a hundred.
        lowest_mask: what stands for float32's lowest number in an attention mask: as good as
            -infinity for a Softmax, and far enough from the end that masks may be added up.
    """

    name: Literal["fp16", "bf16"]
    onnx_name: str
    element_type: int
    bits: int
    largest: float
    smallest: float
    lowest_mask: float

    @property
    def tensor(self) -> str:
        """A tensor of it in the words of ONNX's type constraints."""
        return f"tensor({self.onnx_name})"

    @property
    def counts_to(self) -> int:
        """Up to here it holds every whole number."""
        return int(2**self.bits)

    @property
    def widest_angle(self) -> float:
        """From here on its steps are 2^-7 and more: too coarse for an angle."""
        return float(2.0 ** (self.bits - 8))

    def cast(self, array: Array) -> Array:
        """Round to the nearest, ties to even; past the end becomes infinite."""
        dtype = helper.tensor_dtype_to_np_dtype(self.element_type)
        rounded: Array = array.astype(dtype)
        return rounded


FP16 = Format(
    name="fp16",
    onnx_name="float16",
    element_type=TensorProto.FLOAT16,
    bits=11,
    largest=65504.0,
    # Its steps are 2^-24 there.
    smallest=3e-6,
    # exp(-30000) is 0 in every float format.
    lowest_mask=-30000.0,
)
"""IEEE 754's binary16."""

BF16 = Format(
    name="bf16",
    onnx_name="bfloat16",
    element_type=TensorProto.BFLOAT16,
    bits=8,
    largest=float(2.0**127 * (2 - 2.0**-7)),
    # Its steps are 2^-133 there.
    smallest=5e-39,
    lowest_mask=-1e38,
)
"""The upper half of a float32: its range, with 8 bits of precision instead of 24."""
