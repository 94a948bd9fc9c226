"""Where the nodes of a loaded model run, told by its session.

ONNX Runtime cuts a graph while it loads it: each provider says which nodes it takes, the asked one
first, and what none takes goes to the CPU. Between memories it puts nodes that copy, which it adds
after the cut: those show in a profile alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime as ort

from edgekit import providers
from edgekit.errors import NodesElsewhere
from edgekit.providers.info import ProviderInfo

Nodes = Mapping[str, Mapping[str, int]]
"""How many nodes of each operator each provider runs, by our names."""

_CONTEXT = "EPContext"
"""The operator that stands for nodes which a provider compiled at an earlier start."""

_COPIES = ("MemcpyFromHost", "MemcpyToHost")


def nodes_by_provider(
    session: ort.InferenceSession, provider: ProviderInfo
) -> dict[str, dict[str, int]]:
    """Count the nodes that each provider took, by operator; the asked provider comes first.

    Nodes are counted after the rewrites that happen before the cut; a provider that compiles what
    it takes has the nodes that went into it counted one by one.
    """
    named = {provider.ort_name: provider.name}
    for name in (*provider.companions, "cpu"):
        named.setdefault(providers.find(name).ort_name, name)
    counted: dict[str, dict[str, int]] = {provider.name: {}}
    for subgraph in session.get_provider_graph_assignment_info():
        name = named.get(subgraph.ep_name, subgraph.ep_name)
        operators = counted.setdefault(name, {})
        for node in subgraph.get_nodes():
            operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            operators[operator] = operators.get(operator, 0) + 1
    return {
        name: dict(sorted(operators.items(), key=lambda entry: (-entry[1], entry[0])))
        for name, operators in counted.items()
    }


def elsewhere(nodes: Nodes, provider: str) -> dict[str, Mapping[str, int]]:
    """Pick out the nodes that run on another provider than the asked one."""
    return {name: operators for name, operators in nodes.items() if name != provider and operators}


AS_STORED = "as stored"
"""The precision of a plain .onnx file, which isn't read to tell it."""


def computed(computes: str | None) -> str:
    """Write in which precision a model is computed, with a space in front: `` in fp32``."""
    if computes is None:
        return " in a precision that it does not tell"
    return f" in {computes.replace(AS_STORED, 'the stored precision')}"


def in_words(nodes: Nodes) -> str:
    """Write where nodes run, the asked provider first: ``all 51 nodes``, or
    ``51 nodes; 3 on cpu (2 Shape, 1 Gather)``."""
    (_, own), *others = nodes.items()
    total = sum(own.values())
    said = [
        f"{sum(operators.values())} on {name} ("
        + ", ".join(f"{n} {operator}" for operator, n in operators.items())
        + ")"
        for name, operators in others
        if operators
    ]
    every = "" if said else "all "
    compiled = sum(n for operator, n in own.items() if operator.endswith(_CONTEXT))
    of = f", {compiled} of them a compiled part of the model" if compiled else ""
    return "; ".join([f"{every}{total} {'node' if total == 1 else 'nodes'}{of}", *said])


def refuse_elsewhere(model: str, nodes: Nodes, *, provider: str) -> None:
    """Raise NodesElsewhere unless every node runs on the asked provider."""
    others = elsewhere(nodes, provider)
    if others:
        raise NodesElsewhere(
            model=model,
            provider=provider,
            elsewhere={name: dict(operators) for name, operators in others.items()},
        )


def copies(profile: Path) -> int:
    """Count the nodes that copied between memories in the first run of a profile.

    `profile` is what a session wrote that was made with profiling on and was run once. A node that
    copies is a node of its own there, one way or the other.
    """
    events: list[dict[str, Any]] = json.loads(profile.read_bytes())
    return sum(
        1
        for event in events
        if event.get("cat") == "Node"
        and event.get("name", "").endswith("_kernel_time")
        and event.get("args", {}).get("op_name") in _COPIES
    )
