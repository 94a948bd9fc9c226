"""Squeeze-and-excitation stays in the layout in which onnxruntime's convolutions are fast.

A block of it (Hu, Shen and Sun, "Squeeze-and-Excitation Networks", 2018; in MobileNetV3,
EfficientNet, RegNet-Y) takes the mean of each channel and multiplies the channel by what two small
convolutions make of it. onnxruntime computes convolutions in blocks of channels, and has kernels in
blocks for pooling, for making an image larger, and for products of two images of one size. It has
none for ReduceMean, nor for the product of an image and one number a channel, so that the whole
image is laid out anew in front of either, and again behind it.

    before                                   after
    x ─┬─ ReduceMean ─ Conv … Sigmoid ─┐     x ─┬─ GlobalAveragePool ─ Conv … Sigmoid ─ Resize ─┐
       └────────────────────────────── Mul      └────────────────────────────────────────────── Mul

The rule: float32, a mean over both axes of an image that keeps them; a product of an image of known
height and width and one computed number for each channel of each image.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgekit.optimize import graphs
from edgekit.optimize.pass_info import PassInfo

_FIRST_OPSET = 13
"""Before it a Resize takes one more input than it needs."""
_IMAGE = 4


def apply(model: ir.Model) -> ir.Model | None:
    """Write means as pools, and spread each channel's number over the image that it multiplies."""
    if graphs.opset(model) < _FIRST_OPSET:
        return None
    nodes = [node for node in model.graph if not node.domain]
    pooled = [_pooled(node) for node in nodes if node.op_type == "ReduceMean"]
    spread = [_spread(model, node) for node in nodes if node.op_type == "Mul"]
    return model if any(pooled) or any(spread) else None


PASS = PassInfo(
    name="squeeze-excite",
    summary="squeeze-and-excitation stays in the layout in which convolutions are fast",
    apply=apply,
)


def _pooled(mean: ir.Node) -> bool:
    """Write a mean over height and width as the pool that it is."""
    image = mean.inputs[0]
    shape = graphs.known_shape(image)
    if image is None or image.dtype != graphs.FLOAT or shape is None or len(shape) != _IMAGE:
        return False
    if graphs.reduced_axes(mean, rank=_IMAGE) != [2, 3]:
        return False
    output = mean.outputs[0]
    node = graphs.new_node("GlobalAveragePool", [image], name=f"{mean.name or output.name}/Pool")
    graphs.put_in_place(output, [node], node.outputs[0])
    return True


def _spread(model: ir.Model, product: ir.Node) -> bool:
    """Let a product multiply two images of one size."""
    shapes = [graphs.known_shape(value) for value in product.inputs]
    for place, gate in enumerate(product.inputs):
        image, numbers = shapes[1 - place], shapes[place]
        if gate is None or gate.dtype != graphs.FLOAT or graphs.constant(gate) is not None:
            continue
        if image is None or numbers is None or len(image) != _IMAGE or len(numbers) != _IMAGE:
            continue
        height, width = image[2:]
        if not (isinstance(height, int) and isinstance(width, int) and height * width > 1):
            continue
        if numbers != (*image[:2], 1, 1) or None in image:
            continue
        _resize(model, product, place, image)
        return True
    return False


def _resize(
    model: ir.Model, product: ir.Node, place: int, image: tuple[int | str | None, ...]
) -> None:
    gate = product.inputs[place]
    assert gate is not None
    stem = f"{product.name or product.outputs[0].name}/Spread"
    scales = graphs.initializer(model.graph, f"{stem}.scales", np.array([1, 1, *image[2:]], "f4"))
    node = graphs.new_node(
        "Resize",
        [gate, None, scales],
        attributes={
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        },
        name=stem,
    )
    spread = node.outputs[0]
    # onnxruntime doesn't see that the number of images stays, and that the two are of one size:
    # it is told by the name of the dimension.
    spread.shape, spread.type = ir.Shape(image), gate.type
    spread.name = f"{stem}.output"
    assert product.graph is not None
    product.graph.insert_before(product, node)
    product.replace_input_with(place, spread)
