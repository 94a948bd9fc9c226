"""int4 weights: an eighth of the size for products and tables, at the price of some accuracy.

A scale serves 32 weights of a row unless asked otherwise, found by trying (`edgekit.quantize.
blocks`). What has no kernel for 4 bits has 8 in the file.
"""

from __future__ import annotations

from edgekit.quantize.operators.weight_only import prepared
from edgekit.quantize.scheme import SchemeInfo, Work, Write

_BITS, _BLOCK_SIZE = 4, 32


def prepare(work: Work) -> Write:
    """Check the block size; nothing is measured."""
    return prepared(work, "int4-weight", bits=_BITS, block_size=_BLOCK_SIZE)


SCHEME = SchemeInfo(
    name="int4-weight",
    precision="int4",
    target="cpu",
    summary="4-bit weights in blocks with a scale each",
    where="It pays where memory is what counts: language models, a row at a time.",
    prepare=prepare,
    takes=("block_size",),
)
