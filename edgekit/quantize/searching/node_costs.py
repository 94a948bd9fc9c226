"""What a node's time in float is beside its time in a quantized model, by two profiles."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec
import onnx

from edgekit.graph.node_names import NodeNames
from edgekit.measure.ways import How
from edgekit.package.values import PORTABLE
from edgekit.quantize import files
from edgekit.quantize.elements import label
from edgekit.runtime.node_times import NodeTime
from edgekit.tensors import Feed
from edgekit.workers import Call, Worker

_RUNS, _WARM_UPS = 40, 10


class NodeCosts(msgspec.Struct, frozen=True):
    """What nodes take a run, in µs: in all, and each that is told apart, by its label.

    What turns numbers to integers and back for several nodes at once is in `quantized_us` alone.
    What the quantized model has fused into a node is in that node's time in float, too.
    """

    float_us: float
    quantized_us: float
    in_float: dict[str, float]
    in_quantized: dict[str, float]

    def cost_us(self, node: str) -> float | None:
        """Say how much longer a run takes with this node in float; None where it isn't known."""
        if node not in self.in_float or node not in self.in_quantized:
            return None
        return self.in_float[node] - self.in_quantized[node]


def node_costs(
    parent: Path,
    quantized: Path,
    *,
    model: Any,
    nodes: Collection[str],
    feed: Feed,
    scratch: Path,
    how: How,
    wall_s: float,
) -> NodeCosts:
    """Profile a float model and what was made from it, each in a process of its own.

    Args:
        parent: the float model's .onnx file.
        quantized: that of the other.
        model: the float model as `elements.read_typed` gave it.
        nodes: labels of the nodes that are quantized in the other.
        feed: what goes in.
        scratch: a folder for copies in which every node has a name.
        how: how both run.
        wall_s: how long all runs of one may take.

    Raises:
        ModelFileError, RunFailed, WorkerError: one of them can't be run.
    """
    labels = [label(node) for node in model.graph.node]
    float_us, in_float = _times(parent, feed, scratch, how, wall_s, labels, ())
    quantized_us, in_quantized = _times(quantized, feed, scratch, how, wall_s, labels, nodes)
    followers = _followers(model)
    for node in nodes:
        user = followers.get(node)
        while node in in_float and user in in_float and user not in in_quantized:
            in_float[node] += in_float.pop(user)
            user = followers.get(user)
    return NodeCosts(float_us, quantized_us, in_float, in_quantized)


def _followers(model: Any) -> dict[str, str]:
    """Name the node that alone uses what a node gives, by the latter's label."""
    users: dict[str, list[str]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(label(node))
    outputs = {value.name for value in model.graph.output}
    found = {}
    for node in model.graph.node:
        using = [user for name in node.output for user in users.get(name, [])]
        if len(using) == 1 and not outputs.intersection(node.output):
            found[label(node)] = using[0]
    return found


def _times(
    model: Path,
    feed: Feed,
    scratch: Path,
    how: How,
    wall_s: float,
    labels: Collection[str],
    quantized: Collection[str],
) -> tuple[float, dict[str, float]]:
    """Tell what all nodes of a model take, and each that is told apart, in µs a run."""
    named = _named(model, scratch)
    call = Call(
        "edgekit.runtime.node_times:time_nodes",
        {
            "path": str(named.absolute()),
            "variant": PORTABLE,
            "session": how.session,
            "feed": dict(feed),
            "runs": _RUNS,
            "warm_ups": _WARM_UPS,
        },
    )
    with Worker(f"timing the nodes of {model.name}", wall_s=wall_s) as worker:
        times = worker.call(call, returns=list[NodeTime])
    names = NodeNames(onnx.load(str(named), load_external_data=False), labels, quantized=quantized)
    found: dict[str, float] = {}
    for node in times:
        owner = names.owner(node.name, node.operator)
        if owner is not None:
            found[owner] = found.get(owner, 0.0) + node.us
    return sum(node.us for node in times), found


def _named(model: Path, scratch: Path) -> Path:
    """Give a model in which every node has a name: itself, or a copy in a folder of its own."""
    loaded = onnx.load(str(model), load_external_data=False)
    nameless = [node for node in loaded.graph.node if not node.name]
    if not nameless:
        return model
    for node in nameless:
        node.name = label(node)
    outside = files.load_weights(loaded, model)
    folder = scratch / f"{model.stem}.named"
    folder.mkdir()
    files.save(loaded, folder / model.name, external_data=outside)
    return folder / model.name
