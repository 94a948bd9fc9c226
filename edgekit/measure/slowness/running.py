"""A variant under a profile: its nodes as ONNX Runtime made them, with their times and their work.

A profile itself takes time, a few µs a node. What the nodes take together beyond what a run takes
without it is taken off again, from each the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgekit.graph.inferred import infer_sizes
from edgekit.graph.loaded import LoadedNode, Ran, as_run, read_loaded
from edgekit.graph.ownership import Owner, owners
from edgekit.graph.sized import Sized, SizedNode, dtype_of
from edgekit.graph.summary import load_model
from edgekit.graph.work import Work, work_of
from edgekit.measure.slowness.listing import Runs
from edgekit.measure.ways import How
from edgekit.runtime.kernels import Kernel
from edgekit.tensors import Array, Feed
from edgekit.workers import Call, Worker

_RUNS, _WARM_UPS = 60, 15


class RanNode(msgspec.Struct, frozen=True):
    """A node that ran, what it takes in µs without the profile, and its work where it is known."""

    kernel: Kernel
    loaded: LoadedNode
    us: float
    work: Work | None
    owner: Owner | None = None


class RanVariant(msgspec.Struct, frozen=True):
    """All nodes of a variant in the order in which they ran.

    `beside_us` is what a run takes beside its nodes. `untold` says why there are no nodes, where a
    provider tells of none; `inferred` then has those of the file with the sizes that they have
    there.
    """

    nodes: tuple[RanNode, ...]
    beside_us: float
    untold: str = ""
    inferred: tuple[SizedNode, ...] = ()


def run_profiled(
    one: Runs, feed: Feed, *, how: How, p50_ms: float, scratch: Path, wall_s: float
) -> RanVariant:
    """Run a variant under a profile.

    Args:
        one: what runs.
        feed: what goes in.
        how: how it runs.
        p50_ms: what a run takes without a profile.
        scratch: a folder for the graph that ONNX Runtime makes of it.
        wall_s: how long loading it, or all runs, may take.

    Raises:
        ModelFileError, RunFailed, WorkerError: it can't be run.
    """
    saved = scratch / f"{one.file.stem}.loaded.onnx"
    session = one.session
    environment = how.provider.environment(session)
    with Worker(f"profiling {one.label}", wall_s=wall_s, environment=environment) as worker:
        arguments: dict[str, Any] = {"session": session, "library": how.library}
        place = {"model": str(one.file.absolute()), "output": str(saved)}
        untold = worker.call(
            Call("edgekit.runtime.kernels:save_loaded", {**arguments, **place}), returns=str
        )
        kernels: list[Kernel] = []
        if not untold:
            asked = {
                "path": str(one.path.absolute()),
                "variant": one.variant,
                "feed": dict(feed),
                "runs": _RUNS,
                "warm_ups": _WARM_UPS,
            }
            kernels = worker.call(
                Call("edgekit.runtime.kernels:profile_kernels", {**arguments, **asked}),
                returns=list[Kernel],
            )
    if not kernels:
        shapes = {name: tuple(array.shape) for name, array in feed.items()}
        return RanVariant(
            (), 0.0, untold or "its profile has no nodes", tuple(infer_sizes(one.file, shapes))
        )
    loaded = as_run(read_loaded(saved), _ran(kernels), inputs=_sizes(feed))
    times, beside = without_the_profile([k.us for k in kernels], p50_ms * 1e3)
    return RanVariant(
        tuple(
            RanNode(kernel, node, us, _work(kernel, node))
            for kernel, node, us in zip(kernels, loaded, times, strict=True)
        ),
        beside,
    )


def with_owners(ran: RanVariant, source: Any, file: Path) -> RanVariant:
    """Find for each node the one of a float model that it stands for.

    Args:
        ran: the nodes as they ran.
        source: the float model.
        file: the .onnx that ran, which is the float model's own or was made from it.
    """
    found = owners(source, load_model(file), [node.loaded for node in ran.nodes])
    nodes = (
        msgspec.structs.replace(node, owner=owner)
        for node, owner in zip(ran.nodes, found, strict=True)
    )
    return msgspec.structs.replace(ran, nodes=tuple(nodes))


def without_the_profile(times: Sequence[float], run_us: float) -> tuple[list[float], float]:
    """Take off what a profile adds to nodes that take so long under it, in µs.

    Returns:
        What each node takes, together never more than a run, and what is left of the run. Where
        nothing need be taken off, nothing is.
    """
    left = sum(times) - run_us
    own = list(times)
    # What a node takes bounds what a profile can have added to it: the rest is the others'.
    for count, place in enumerate(sorted(range(len(times)), key=lambda index: times[index])):
        if left <= 0:
            break
        off = min(times[place], left / (len(times) - count))
        own[place] -= off
        left -= off
    return own, max(0.0, run_us - sum(own))


def _work(kernel: Kernel, node: LoadedNode) -> Work | None:
    work = work_of(node.sized)
    if work is None or kernel.turns == 1:
        return work
    return Work(
        work.operations * kernel.turns,
        work.bytes * kernel.turns,
        work.kind,
        work.constant_bytes * kernel.turns,
    )


def _ran(kernels: Sequence[Kernel]) -> list[Ran]:
    def sizes(shapes: Sequence[tuple[str, list[int]]]) -> tuple[Sized, ...]:
        return tuple(Sized(dtype_of(kind), tuple(shape)) for kind, shape in shapes)

    return [Ran(k.name, k.operator, sizes(k.inputs), sizes(k.outputs)) for k in kernels]


def _sizes(feed: Mapping[str, Array]) -> dict[str, Sized]:
    return {
        name: Sized(str(array.dtype), tuple(map(int, array.shape))) for name, array in feed.items()
    }
