"""bf16: float32's range in 16 bits, where a provider has kernels for it.

bfloat16 is the upper half of a float32: nothing overflows that doesn't there, and 8 bits of
precision are left (fp16 has 11). So it is what a model takes whose values leave fp16's range, and
less exact where they don't; whole numbers beyond 256, angles and running sums stay in float32.

ONNX Runtime's CPU provider has no kernels for it, so a bf16 model isn't even loaded there; what it
answers is measured on a float32 model that rounds as it does (`edgekit.quantize.floats.rounding`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from edgekit.quantize.floats import short_floats
from edgekit.quantize.floats.formats import BF16
from edgekit.quantize.floats.short_floats import Conversion
from edgekit.quantize.scheme import SchemeInfo

HIGHEST_OPSET = 22
"""In which Conv, ConvTranspose, LSTM, GRU and the pools take bfloat16 for the first time."""


def convert(
    model: Path,
    output: Path,
    *,
    keep_float: Mapping[str, str] | None = None,
    operators: Collection[str] = (),
) -> Conversion:
    """Write a float32 model as a bf16 one; see `edgekit.quantize.floats.short_floats.convert`.

    The opset is raised to 22 where that brings more nodes into bf16.
    """
    return short_floats.convert(
        model,
        output,
        to=BF16,
        keep_float=keep_float,
        operators=operators,
        highest_opset=HIGHEST_OPSET,
    )


prepare = short_floats.preparing(BF16, highest_opset=HIGHEST_OPSET)

SCHEME = SchemeInfo(
    name="bf16",
    precision="bf16",
    target="cuda",
    summary="16-bit floats with float32's range: half the size, less exact than fp16",
    where="It pays on GPUs of 2020 and later (NVIDIA's from Ampere on); CPUs don't run it.",
    prepare=prepare,
)
