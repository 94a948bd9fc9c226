"""What comes out of a graph: names, types, and how its sizes hang together with the inputs'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir

from edgekit.tensors import Dim, Feed, TensorSpec, dtype_named

Shapes = Mapping[str, tuple[int, ...]]


def output_specs(
    model: onnx_ir.Model,
    outputs: Feed,
    observed: Sequence[tuple[Mapping[str, int], Shapes]],
    *,
    random: frozenset[str],
) -> tuple[TensorSpec, ...]:
    """Describe the outputs, here and in the graph: types from the original's answers, shapes from
    the graph where they can be true.

    A size that the graph gives no name the caller knows is called after the input dimension that
    it was equal to at every size that the original was `observed` at (the dimensions' sizes, and
    the outputs' shapes at them), and after the output and its axis where there is none.
    """
    known = {name for sizes, _ in observed for name in sizes}
    specs = []
    for value, (name, array) in zip(model.graph.outputs, outputs.items(), strict=True):
        sizes = list(value.shape) if value.shape is not None else [None] * array.ndim
        shape = tuple(
            size
            if isinstance(size, int) and not _differs(observed, name, axis)
            else Dim(_name(size, known, observed, name, axis), 0)
            for axis, size in enumerate(sizes)
        )
        # torch declares the steps of an LSTM's states as many as the example had.
        value.shape = onnx_ir.Shape([d.name if isinstance(d, Dim) else d for d in shape])
        specs.append(TensorSpec(name, dtype_named(array.dtype.name), shape, random=name in random))
    return tuple(specs)


def _differs(observed: Sequence[tuple[Mapping[str, int], Shapes]], output: str, axis: int) -> bool:
    sizes = {shapes[output][axis] for _, shapes in observed if len(shapes[output]) > axis}
    return len(sizes) > 1


def _name(
    size: int | onnx_ir.SymbolicDim | None,
    known: set[str],
    observed: Sequence[tuple[Mapping[str, int], Shapes]],
    output: str,
    axis: int,
) -> str:
    told = str(size.value or "") if isinstance(size, onnx_ir.SymbolicDim) else ""
    if told and all(word in known for word in _words(told)):
        return told
    for name in sorted(known):
        if all(
            len(shapes[output]) > axis and shapes[output][axis] == sizes[name]
            for sizes, shapes in observed
        ):
            return name
    return f"{output}_{axis}"


def _words(expression: str) -> list[str]:
    """List the names in an expression over dimensions, such as `2*time + 1`."""
    cleaned = "".join(c if c.isalnum() or c == "_" else " " for c in expression)
    return [word for word in cleaned.split() if not word.isdigit()]
