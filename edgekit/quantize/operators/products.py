"""MatMul and Gemm with a weight: what they multiply, seen alike.

y = alpha · x · W + beta · C
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.quantize.operators.rewriting import Rewriting
from edgekit.tensors import Array

SMALLEST = 16
"""With fewer rows or columns than this, rounding what goes in costs more than the integers save."""


@dataclass(frozen=True, kw_only=True)
class Product:
    """A node that multiplies what goes in by a constant matrix.

    `source` is what goes in, `turned` where it is transposed first. `rows` is the matrix, float32
    [N, K], a row for each column of the answer, `alpha` in it; `added` what is added to the product
    (`beta` times it), empty where nothing is.
    """

    node: Any
    source: str
    rows: Array
    turned: bool = False
    added: str = ""
    beta: float = 1.0


def product_of(rewriting: Rewriting, node: Any) -> Product | str:
    """Read a MatMul or Gemm, or say why it isn't such a product.

    Raises:
        ModelFileError: the weight has NaN or infinite numbers.
    """
    matrix = rewriting.array(node.input[1])
    if matrix is None:
        if node.input[0] in rewriting.weights:
            return "its weight is on the left"
        if node.input[1] in rewriting.weights:
            return "its weight isn't float32"
        return "both of its inputs are computed"
    if matrix.ndim != 2:
        return "its weight is no matrix"
    if node.op_type == "MatMul":
        return _large(Product(node=node, source=node.input[0], rows=matrix.T))
    options = {attribute.name: attribute for attribute in node.attribute}
    alpha = options["alpha"].f if "alpha" in options else 1.0
    rows = matrix if "transB" in options and options["transB"].i else matrix.T
    return _large(
        Product(
            node=node,
            source=node.input[0],
            rows=rows if alpha == 1.0 else rows * np.float32(alpha),
            turned="transA" in options and bool(options["transA"].i),
            added=node.input[2] if len(node.input) > 2 else "",
            beta=options["beta"].f if "beta" in options else 1.0,
        )
    )


def source_of(rewriting: Rewriting, product: Product) -> str:
    """Name what goes in as a matrix of rows, transposed where the node asks for that."""
    if not product.turned:
        return product.source
    return rewriting.add("Transpose", [product.source], attributes={"perm": [1, 0]})[0]


def add_up(rewriting: Rewriting, product: Product, answer: str) -> None:
    """Add what the node adds to `answer`, the output of the last node that was made."""
    term = product.added
    if product.beta != 1.0:
        factor = np.float32(product.beta)
        array = rewriting.array(term)
        if array is not None:
            term = rewriting.constant(f"{term}_scaled", array * factor)
        else:
            beta = rewriting.constant(f"{term}_factor", np.asarray(factor))
            term = rewriting.add("Mul", [term, beta])[0]
    rewriting.add("Add", [answer, term], outputs=[product.node.output[0]])


def _large(product: Product) -> Product | str:
    if min(product.rows.shape) < SMALLEST:
        columns, depth = product.rows.shape
        return f"its weight, {depth} by {columns}, is too small to gain by it"
    return product
