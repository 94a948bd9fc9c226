"""fp16: every node that can computes in 16 bits, what goes in and comes out stays float32.

Half the size, and on a GPU that has units for it a multiple of the speed; a CPU mostly computes in
float32 all the same, with casts around. fp16 (IEEE 754, binary16) has 11 bits of precision and ends
at 65504: what was measured to go further stays in float32 (see `edgekit.quantize.floats.ranges`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgekit.quantize.floats import short_floats
from edgekit.quantize.floats.formats import FP16
from edgekit.quantize.floats.short_floats import Conversion
from edgekit.quantize.scheme import SchemeInfo


def convert(
    model: Path, output: Path, *, keep_float: Mapping[str, str] | None = None
) -> Conversion:
    """Write a float32 model as an fp16 one; see `edgekit.quantize.floats.short_floats.convert`."""
    return short_floats.convert(model, output, to=FP16, keep_float=keep_float)


prepare = short_floats.preparing(FP16)

SCHEME = SchemeInfo(
    name="fp16",
    precision="fp16",
    target="cuda",
    summary="16-bit floats: half the size, and faster where the hardware computes in them",
    where="It pays on GPUs; a CPU computes most of it in float32 all the same, with casts around.",
    prepare=prepare,
)
