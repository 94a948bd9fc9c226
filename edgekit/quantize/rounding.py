"""A float32 model that answers as an fp16 one does where nodes really compute in fp16.

ONNX Runtime's CPU provider has hardly a kernel for fp16: it computes in float32 and, between two
such nodes, takes the casts out that would have rounded. So on a CPU an fp16 model shows neither the
rounding nor the overflow that it has on a GPU. Here they are put in, behind every node:

    x ─▶ MatMul ─▶ y       ▶       x ─▶ MatMul ─▶ Cast(fp16) ─▶ Cast(float32) ─▶ y

Inside a node sums are float32, as the kernels of GPUs for fp16 add up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgekit.quantize import files
from edgekit.quantize.elements import FLOAT, HALF, captured, element_types, names_in, read_typed
from edgekit.quantize.halving import MOVES


def write_stand_in(model: Path, output: Path) -> bool:
    """Write a float32 model that rounds as an fp16 one does.

    Args:
        model: the fp16 .onnx file, external data beside it.
        output: where the float32 one goes; external data beside it where `model` has some.

    Returns:
        False, and nothing is written, where fp16 goes in or comes out, or into a branch or loop.

    Raises:
        NotFound, ModelFileError, MissingExtra: the model can't be read.
    """
    typed = read_typed(model)
    graph = typed.graph
    halves = {name for name, kind in element_types(typed).items() if kind == HALF}
    edges = {value.name for value in (*graph.input, *graph.output)}
    for node in graph.node:
        edges |= captured(node)
    if halves & edges:
        return False
    outside = files.load_weights(typed, model)
    for tensor in graph.initializer:
        if tensor.data_type == HALF:
            array = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    _round_behind_nodes(graph, halves)
    del graph.value_info[:]
    files.save(typed, output, external_data=outside)
    return True


def _round_behind_nodes(graph: Any, halves: set[str]) -> None:
    taken = names_in(graph)
    nodes: list[Any] = []

    def fresh(name: str) -> str:
        while name in taken:
            name += "_"
        taken.add(name)
        return name

    for node in graph.node:
        made = onnx.NodeProto.FromString(node.SerializeToString())
        nodes.append(made)
        if node.op_type in MOVES:
            continue
        for index, name in enumerate(node.output):
            if name in halves:
                made.output[index] = fresh(f"{name}_exact")
                rounded = fresh(f"{name}_rounded")
                nodes.append(helper.make_node("Cast", [made.output[index]], [rounded], to=HALF))
                nodes.append(helper.make_node("Cast", [rounded], [name], to=FLOAT))
    del graph.node[:]
    graph.node.extend(nodes)
