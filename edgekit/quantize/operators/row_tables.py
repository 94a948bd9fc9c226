"""Tables whose rows are looked up (embeddings), in 8 or 4 bits.

int8 with a scale for each row, in operators of ONNX itself, each row spelled out as it is taken:

    ids ─▶ Gather(table) ─▶ y   ▶   ids ─▶ Gather(int8) ─▶ Cast ─▶ Mul(Gather(scales)) ─▶ y

or in blocks of a row, as MatMulNBits has its weights, so that a head that multiplies by the same
table (a tied head) shares its bytes; a number outside the table then gives a row of zeros, and not
an error:

    ids ─▶ Gather(table) ─▶ y   ▶   ids ─▶ GatherBlockQuantized(q, scales) ─▶ Reshape ─▶ y
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.quantize.operators.blocks import block_size_for, pack, round_blocks
from edgekit.quantize.operators.rewriting import CONTRIB, Rewriting
from edgekit.quantize.weights import as_int8
from edgekit.tensors import Array

LARGE = 1 << 16
"""Tables with fewer elements (256 KiB) stay in float: there is nothing to gain."""

_SHORTEST_ROW = 16


def refuses_table(rewriting: Rewriting, node: Any) -> str | None:
    """Say why a Gather must stay in float; empty where it needn't, None where it has no table.

    Raises:
        ModelFileError: its table has NaN or infinite numbers.
    """
    table = rewriting.array(node.input[0])
    if table is None:
        return None
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
    if table.ndim != 2 or axis % 2 != 0:
        return "it takes other things than rows of a table"
    if table.size < LARGE or table.shape[1] < _SHORTEST_ROW:
        return f"its table of {table.shape[0]} by {table.shape[1]} is too small to gain by it"
    return ""


def take_int8_rows(rewriting: Rewriting, node: Any, *, bits: int) -> Array:
    """Replace a Gather that `refuses_table` has nothing against, and return its table.

    `bits` is 7 or 8: 7 where a head that multiplies by the same table needs them.
    """
    rewriting.begin(node)
    name, ids = node.input[0], node.input[1]
    table = rewriting.array(name)
    assert table is not None, "refuses_table has seen it"
    integers, scales = as_int8(table, axis=0, bits=bits)
    stored = rewriting.constant(f"{name}_int8", integers)
    row_scales = rewriting.constant(f"{name}_scale", scales[:, None])
    rows = rewriting.add("Gather", [stored, ids])[0]
    scale = rewriting.add("Gather", [row_scales, ids])[0]
    numbers = rewriting.add("Cast", [rows], attributes={"to": 1})[0]
    rewriting.add("Mul", [numbers, scale], outputs=[node.output[0]])
    return table


def fills_bytes(rewriting: Rewriting, node: Any, *, bits: int) -> bool:
    """Tell whether the rows of a table end where a byte does."""
    width = rewriting.shapes[node.input[0]][-1] or 0
    return width * bits % 8 == 0


def take_block_rows(rewriting: Rewriting, node: Any, *, bits: int, block_size: int) -> None:
    """Replace a Gather that `refuses_table` has nothing against; `bits` is 4 or 8.

    Its rows must end where a byte does (`fills_bytes`).
    """
    rewriting.begin(node)
    name, ids = node.input[0], node.input[1]
    table = rewriting.array(name)
    assert table is not None, "refuses_table has seen it"
    width = table.shape[1]
    size = block_size_for(width, block_size)
    rounded = round_blocks(table, size, bits=bits)
    data, scales, zeros = pack(rounded.integers, bits=bits), rounded.scales, rounded.zeros
    known = rewriting.shapes.get(ids)
    # Rows that fill their blocks are stored as MatMulNBits wants them, a block a row of bytes.
    in_blocks = width % size == 0 and known is not None
    if in_blocks:
        scales = scales[..., None]
        zeros = None if zeros is None else zeros[..., None]
    else:
        data = data.reshape(len(table), -1)[:, : width * bits // 8]
        zeros = None if zeros is None else pack(zeros, bits=bits)
    inputs = [
        rewriting.constant(f"{name}_{bits}bits", data),
        ids,
        rewriting.constant(f"{name}_table_scales", scales),
    ]
    if zeros is not None:
        inputs.append(rewriting.constant(f"{name}_table_zeros", zeros))
    taken = rewriting.add(
        "GatherBlockQuantized",
        inputs,
        outputs=None if in_blocks else [node.output[0]],
        domain=CONTRIB,
        attributes={
            "bits": bits,
            "block_size": size,
            "gather_axis": 0,
            "quantize_axis": 2 if in_blocks else 1,
        },
    )[0]
    if in_blocks and known is not None:
        shape = np.array([*[0] * len(known), width], np.int64)
        rewriting.add(
            "Reshape",
            [taken, rewriting.constant(f"{name}_rows", shape)],
            outputs=[node.output[0]],
        )
