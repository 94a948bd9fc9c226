"""What the schemes that round weights alone share: which node is covered how.

MatMul, Gemm with a constant matrix     MatMulNBits, 4 or 8 bits
Gather from a large table               GatherBlockQuantized, 4 or 8 bits, shared with a head
Conv, LSTM, GRU, RNN and the like       8 bits in the file alone
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from edgekit.errors import BadValue
from edgekit.package.values import Recipe
from edgekit.quantize.elements import label, read_typed
from edgekit.quantize.operators.block_products import multiply_in_blocks
from edgekit.quantize.operators.products import product_of
from edgekit.quantize.operators.replacing import Rules, listed, rewrite
from edgekit.quantize.operators.rewriting import Rewriting
from edgekit.quantize.operators.row_tables import (
    fills_bytes,
    refuses_table,
    take_block_rows,
    take_int8_rows,
)
from edgekit.quantize.operators.stored_weights import store_in_8_bits
from edgekit.quantize.scheme import Made, Work, Write
from edgekit.terms import Scheme

_LEAST_BLOCK = 16
_IN_FILE = 8
"""The bits of weights that no kernel takes as integers."""

_WEIGHTS: dict[str, tuple[int, ...]] = {
    "Attention": (1,),
    "Conv": (1,),
    "ConvTranspose": (1,),
    "Einsum": (0, 1),
    "FusedMatMul": (0, 1),
    "GRU": (1, 2),
    "Gather": (0,),
    "Gemm": (0, 1),
    "LSTM": (1, 2),
    "MatMul": (0, 1),
    "RNN": (1, 2),
}


def prepared(work: Work, scheme: Scheme, *, bits: int, block_size: int) -> Write:
    """Prepare a scheme that rounds weights to 4 or 8 bits, `block_size` of a row with a scale.

    Raises:
        BadValue: the block size that was asked for is no power of two from 16 on.
    """
    asked = work.settings.block_size
    size = block_size if asked is None else asked
    if size < _LEAST_BLOCK or size & (size - 1):
        raise BadValue(
            what="a block size", asked=str(size), expected=f"a power of two from {_LEAST_BLOCK} on"
        )
    order = [label(node) for node in read_typed(work.model).graph.node]

    def write(output: Path, keep_float: Collection[str]) -> Made:
        stored: list[str] = []
        packed: list[str] = []
        done = rewrite(
            work.model,
            output,
            rules=_rules(stored, packed, bits=bits, block_size=size, kernels=work.rules.operators),
            weights=_WEIGHTS,
            keep_float=keep_float,
            becomes=f"one with {bits}-bit weights",
        )
        if bits < _IN_FILE and not packed and not keep_float:
            first = done.nodes[0]
            raise BadValue(
                what=f"a model to give {bits}-bit weights",
                asked=str(work.model),
                expected="one with products or tables, for which there are kernels of 4 bits; "
                f"{first} and the like have 8 at the least: use int8-weight",
            )
        notes = (
            "weights have 8 bits in the file and are float32 in memory, for want of a kernel that "
            f"takes them as integers, of {listed(stored)}",
        )
        return Made(
            recipe=Recipe(
                scheme,
                keep_float=tuple(name for name in order if name in set(keep_float)),
                rules=work.rules,
                block_size=size,
            ),
            files=done.files,
            nodes=done.nodes,
            kept=done.kept,
            notes=notes if stored else (),
        )

    return write


def _rules(
    stored: list[str],
    packed: list[str],
    *,
    bits: int,
    block_size: int,
    kernels: Collection[str],
) -> Rules:
    """Say what becomes of each operator.

    Nodes whose weights are only stored add their label to `stored`, those whose weights keep `bits`
    bits until they are taken add it to `packed`. `kernels` names the operators for which the target
    has a kernel that does that; an empty list, or "*", stands for all.
    """
    taken = set(_WEIGHTS) if not kernels or "*" in kernels else set(kernels)

    def table(rewriting: Rewriting, node: Any) -> str | None:
        why = refuses_table(rewriting, node)
        if why != "":
            return why
        if "Gather" in taken and fills_bytes(rewriting, node, bits=bits):
            take_block_rows(rewriting, node, bits=bits, block_size=block_size)
            packed.append(label(node))
        else:
            take_int8_rows(rewriting, node, bits=8)
        return ""

    def other(rewriting: Rewriting, node: Any) -> str | None:
        why = store_in_8_bits(rewriting, node, positions=_WEIGHTS[node.op_type])
        if why == "":
            stored.append(label(node))
        return why

    def product(rewriting: Rewriting, node: Any) -> str | None:
        found = product_of(rewriting, node)
        if isinstance(found, str) or node.op_type not in taken:
            # A matrix on the left, or several: no kernel, but less to store.
            why = other(rewriting, node)
            return found if why is None and isinstance(found, str) else why
        multiply_in_blocks(rewriting, found, bits=bits, block_size=block_size)
        packed.append(label(node))
        return ""

    return {**dict.fromkeys(_WEIGHTS, other), "Gather": table, "Gemm": product, "MatMul": product}
