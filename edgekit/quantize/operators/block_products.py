"""A product with a constant matrix whose weights share scales in blocks (MatMulNBits).

    x ─▶ MatMul(W) ─▶ y        ▶        x ─▶ MatMulNBits(q, scales) ─▶ y

Its accuracy_level is 4: what goes in is rounded to 8 bits, a scale for each block of a row, and
added up in 32 bits. Measured on ONNX Runtime's CPU provider, that is off by 0.005 of the answer,
where 4-bit weights are off by 0.08 and 8-bit ones by as much as itself, and 1.2 to 3 times as fast
as float32; with level 0 the kernel for 8 bits spells the weights out at each call, at a tenth of
the speed of float32 for one row. It holds on processors without VNNI: with |q - 128| <= 127 no pair
leaves 16 bits. Where there is no such kernel, and on CUDA, it computes in floats.
"""

from __future__ import annotations

from edgekit.quantize.operators.blocks import block_size_for, pack, round_blocks
from edgekit.quantize.operators.products import Product, add_up, source_of
from edgekit.quantize.operators.rewriting import CONTRIB, Rewriting

_IN_8_BITS = 4


def multiply_in_blocks(
    rewriting: Rewriting, product: Product, *, bits: int, block_size: int
) -> None:
    """Replace a product by one with weights of 4 or 8 bits, `block_size` of a row with a scale."""
    node = product.node
    rewriting.begin(node)
    columns, depth = product.rows.shape
    size = block_size_for(depth, block_size)
    rounded = round_blocks(product.rows, size, bits=bits)
    weight = node.input[1]
    inputs = [
        source_of(rewriting, product),
        rewriting.constant(f"{weight}_{bits}bits", pack(rounded.integers, bits=bits)),
        rewriting.constant(f"{weight}_scales", rounded.scales),
    ]
    if rounded.zeros is not None:
        inputs.append(rewriting.constant(f"{weight}_zeros", pack(rounded.zeros, bits=bits)))
    answer = rewriting.add(
        "MatMulNBits",
        inputs,
        outputs=None if product.added else [node.output[0]],
        domain=CONTRIB,
        attributes={
            "K": depth,
            "N": columns,
            "bits": bits,
            "block_size": size,
            "accuracy_level": _IN_8_BITS,
        },
    )[0]
    if product.added:
        add_up(rewriting, product, answer)
