"""Dynamic dimensions become fixed ones, where sizes are asked for.

What is computed from sizes becomes constant then (the pass `constants` computes it), and
onnxruntime can lay out memory before the first call.

    before                        after (batch=1)
    image [batch, 3, 28, 28]      image [1, 3, 28, 28]

The variant takes these sizes and no others.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from edgekit.errors import BadValue
from edgekit.optimize import graphs
from edgekit.optimize.pass_info import PassInfo


def fixing(sizes: Mapping[str, int]) -> PassInfo:
    """Make the pass that fixes dimensions, by name, to sizes."""
    return PassInfo(
        name="sizes",
        summary="dynamic dimensions are fixed to the sizes that --fix names",
        apply=lambda model: _fixed(model, sizes),
    )


PASS = fixing({})


def _fixed(model: ir.Model, sizes: Mapping[str, int]) -> ir.Model | None:
    found: set[str] = set()
    for value in model.graph.inputs:
        if value.shape is None:
            continue
        dims: list[int | ir.SymbolicDim | str | None] = list(value.shape)
        for axis, dim in enumerate(dims):
            # A size without a name is called after its input, as a package's signature does.
            if isinstance(dim, int):
                continue
            name = str(getattr(dim, "value", None) or f"{value.name}_{axis}")
            if name in sizes:
                dims[axis] = sizes[name]
                found.add(name)
        value.shape = ir.Shape(dims)
    for name in sizes:
        if name not in found:
            raise BadValue(
                what="a size",
                asked=f"{name}={sizes[name]}",
                expected="one of the model's dynamic dimensions",
            )
    if not found:
        return None
    for node in model.graph.all_nodes():
        for output in node.outputs:
            _fix(output, sizes)
    graphs.infer_shapes(model)
    return model


def _fix(value: ir.Value, sizes: Mapping[str, int]) -> None:
    """Put sizes into a shape that names them; one that computes with them is worked out anew."""
    if value.shape is None:
        return
    dims: list[int | ir.SymbolicDim | str | None] = []
    for dim in value.shape:
        name = None if isinstance(dim, int) else dim.value
        if name in sizes:
            dims.append(sizes[str(name)])
        elif name is not None and any(size in str(name) for size in sizes):
            dims.append(None)
        else:
            dims.append(dim)
    value.shape = ir.Shape(dims)
