"""A float32 model that answers as one of 16 bits does where nodes really compute in them.

ONNX Runtime's CPU provider has hardly a kernel for fp16: it computes in float32 and, between two
such nodes, takes the casts out that would have rounded. So on a CPU an fp16 model shows neither the
rounding nor the overflow that it has on a GPU; and a bf16 model it doesn't even load. Here they are
put in, behind every node:

    x ─▶ MatMul ─▶ y       ▶       x ─▶ MatMul ─▶ Cast(fp16) ─▶ Cast(float32) ─▶ y

Inside a node sums are float32, as the kernels of GPUs add up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgekit.quantize import files
from edgekit.quantize.additions import Names
from edgekit.quantize.elements import FLOAT, captured, element_types, read_typed
from edgekit.quantize.floats.formats import FP16, Format
from edgekit.quantize.floats.halving import MOVES


def write_stand_in(model: Path, output: Path, *, of: Format = FP16) -> bool:
    """Write a float32 model that rounds as one of 16 bits does.

    Args:
        model: the .onnx file of 16 bits, external data beside it.
        output: where the float32 one goes; external data beside it where `model` has some.
        of: the format of 16 bits.

    Returns:
        False, and nothing is written, where that format goes in or comes out, or into a branch or
        loop.

    Raises:
        NotFound, ModelFileError, MissingExtra: the model can't be read.
    """
    typed = read_typed(model)
    graph = typed.graph
    halves = {name for name, kind in element_types(typed).items() if kind == of.element_type}
    edges = {value.name for value in (*graph.input, *graph.output)}
    for node in graph.node:
        edges |= captured(node)
    if halves & edges:
        return False
    outside = files.load_weights(typed, model)
    for tensor in graph.initializer:
        if tensor.data_type == of.element_type:
            array = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    _round_behind_nodes(graph, halves, of)
    del graph.value_info[:]
    files.save(typed, output, external_data=outside)
    return True


def _round_behind_nodes(graph: Any, halves: set[str], of: Format) -> None:
    fresh = Names(graph).fresh
    nodes: list[Any] = []

    for node in graph.node:
        made = onnx.NodeProto.FromString(node.SerializeToString())
        nodes.append(made)
        if node.op_type in MOVES:
            continue
        for index, name in enumerate(node.output):
            if name in halves:
                made.output[index] = fresh(f"{name}_exact")
                rounded = fresh(f"{name}_rounded")
                nodes.append(
                    helper.make_node("Cast", [made.output[index]], [rounded], to=of.element_type)
                )
                nodes.append(helper.make_node("Cast", [rounded], [name], to=FLOAT))
    del graph.node[:]
    graph.node.extend(nodes)
