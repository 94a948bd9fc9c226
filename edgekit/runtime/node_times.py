"""How long each node of a model takes, by ONNX Runtime's own profile."""

from __future__ import annotations

from typing import Any

import msgspec

from edgekit.package.values import SessionChoice
from edgekit.runtime.kernels import profile_kernels


class NodeTime(msgspec.Struct, frozen=True):
    """The time of one node of a loaded model, in µs a run.

    `name` and `operator` are those that ONNX Runtime gave it where it fused several; `us` is the
    mean of the middle half of the runs, since a profile counts in whole µs.
    """

    name: str
    operator: str
    us: float


def time_nodes(
    path: str, variant: str, session: SessionChoice, feed: dict[str, Any], runs: int, warm_ups: int
) -> list[NodeTime]:
    """Run a model under a profile, and tell what each of its nodes took.

    Args:
        path: the package's folder, or an .onnx file.
        variant: a variant's name.
        session: how it runs.
        feed: arrays that fit.
        runs: how many runs count.
        warm_ups: how many runs come before and don't count.

    Returns:
        The nodes in the order in which they ran. A node inside a loop has its turns summed up, and
        the loop itself what is left of its time.

    Raises what `edgekit.load` raises.
    """
    kernels = profile_kernels(path, variant, session, feed, runs, warm_ups)
    return [NodeTime(kernel.name, kernel.operator, kernel.us) for kernel in kernels]
