"""How long each node of a model takes, by ONNX Runtime's own profile."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgekit.package.values import SessionChoice
from edgekit.runtime.loading import open_model

_SUFFIX = "_kernel_time"


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
        The nodes in the order in which they ran. A node inside a loop has its turns summed up.

    Raises what `edgekit.load` raises.
    """
    with (
        tempfile.TemporaryDirectory(prefix="edgekit-profile-") as folder,
        open_model(Path(path), variant, session, profile=Path(folder) / "run") as model,
    ):
        for _ in range(warm_ups + runs):
            model(feed)
        events = json.loads(model.end_profile().read_bytes())
    return _times(events, runs=runs)


def _times(events: list[Mapping[str, Any]], *, runs: int) -> list[NodeTime]:
    """Sum up a profile: a run's nodes come before the event that tells of the run itself."""
    each: list[dict[tuple[str, str], float]] = [{}]
    for event in events:
        name = str(event.get("name", ""))
        if event.get("cat") == "Session" and name == "model_run":
            each.append({})
        elif event.get("cat") == "Node" and name.endswith(_SUFFIX):
            key = name.removesuffix(_SUFFIX), str(event.get("args", {}).get("op_name", ""))
            each[-1][key] = each[-1].get(key, 0.0) + float(event["dur"])
    counted = each[:-1][-runs:]
    keys = dict.fromkeys(key for run in counted for key in run)
    return [
        NodeTime(name, operator, _middle([run.get((name, operator), 0.0) for run in counted]))
        for name, operator in keys
    ]


def _middle(samples: list[float]) -> float:
    ordered = np.sort(samples)
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())
