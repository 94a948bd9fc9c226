"""What ran, by ONNX Runtime's own profile: each node's time, provider, and sizes.

A profile counts in whole µs, and a node that holds others (a loop, a branch) has their times in its
own: those are taken out here.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgekit.errors import ModelFileError
from edgekit.package.reading import Stamp, Verified
from edgekit.package.values import SessionChoice
from edgekit.runtime.loading import open_model
from edgekit.runtime.sessions import open_session

_SUFFIX = "_kernel_time"

Shapes = list[tuple[str, list[int]]]
"""Element types and shapes, as the profile calls them: [("float", [1, 3, 96, 96])]."""


class Kernel(msgspec.Struct, frozen=True):
    """A node of a loaded model that ran: its time in µs a run, and what it took and gave.

    `name` and `operator` are those that ONNX Runtime gave it, `provider` is ONNX Runtime's name.
    `us` is the mean of the middle half of the runs; a node inside a loop has its turns summed up,
    `turns` of them in the last run, and the sizes of the last one.
    """

    name: str
    operator: str
    provider: str
    us: float
    turns: int
    inputs: Shapes
    outputs: Shapes


def profile_kernels(
    path: str,
    variant: str,
    session: SessionChoice,
    feed: dict[str, Any],
    runs: int,
    warm_ups: int,
    *,
    library: str | None = None,
) -> list[Kernel]:
    """Run a model under a profile, and tell what each of its nodes took.

    Args:
        path: the package's folder, or an .onnx file.
        variant: a variant's name.
        session: how it runs.
        feed: arrays that fit.
        runs: how many runs count.
        warm_ups: how many runs come before and don't count.
        library: a plug-in provider's library, where the user named one.

    Returns:
        The nodes in the order in which they ran; none where the provider's profile has none.

    Raises what `edgekit.load` raises.
    """
    with (
        tempfile.TemporaryDirectory(prefix="edgekit-profile-") as folder,
        open_model(
            Path(path), variant, session, library=library, profile=Path(folder) / "run"
        ) as model,
    ):
        for _ in range(warm_ups + runs):
            model(feed)
        events = json.loads(model.end_profile().read_bytes())
    return kernels_of(events, runs=runs)


def save_loaded(
    model: str, output: str, session: SessionChoice, *, library: str | None = None
) -> str:
    """Load an .onnx file, and save the graph that ONNX Runtime made of it while it did.

    Args:
        model: the .onnx file, its external data beside it.
        output: the file to write; large weights go into another beside it.
        session: how it runs.
        library: a plug-in provider's library, where the user named one.

    Returns:
        Why there is no such graph, where a provider compiled parts of it; else nothing.

    Raises what `edgekit.load` raises.
    """
    status = Path(model).stat()
    stamp = Stamp(status.st_ino, status.st_size, status.st_mtime_ns)
    try:
        open_session(
            Verified(Path(model), None, stamp), session, library=library, saved=Path(output)
        )
    except ModelFileError as error:
        if "compiled nodes" in str(error):
            return "its provider compiles parts of it whole"
        raise
    return ""


def kernels_of(events: Sequence[Mapping[str, Any]], *, runs: int) -> list[Kernel]:
    """Sum up a profile: a run's nodes come before the event that tells of the run itself."""
    each: list[list[Mapping[str, Any]]] = [[]]
    for event in events:
        if event.get("cat") == "Session" and event.get("name") == "model_run":
            each.append([])
        elif event.get("cat") == "Node" and str(event.get("name", "")).endswith(_SUFFIX):
            each[-1].append(event)
    counted = [_run(events) for events in each[:-1][-runs:]]
    keys = dict.fromkeys(key for run in counted for key in run)
    return [_kernel(key, [run[key] for run in counted if key in run], len(counted)) for key in keys]


class _Turns(msgspec.Struct):
    """What one run tells of a node: its time, how often it ran, and its last event."""

    us: float
    turns: int
    last: Mapping[str, Any]


def _run(events: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], _Turns]:
    found: dict[tuple[str, str], _Turns] = {}
    own = _own_times(events)
    # By their beginning: a node that holds others is told of after them.
    order = sorted(range(len(events)), key=lambda index: float(events[index].get("ts", index)))
    for index in order:
        event = events[index]
        name = str(event["name"]).removesuffix(_SUFFIX)
        key = name, str(event.get("args", {}).get("op_name", ""))
        if key in found:
            found[key].us += own[index]
            found[key].turns += 1
            found[key].last = event
        else:
            found[key] = _Turns(own[index], 1, event)
    return found


def _own_times(events: Sequence[Mapping[str, Any]]) -> list[float]:
    """Take from each node's time that of the nodes which ran inside of it."""
    own = [float(event["dur"]) for event in events]
    holding = [
        index
        for index, event in enumerate(events)
        if event.get("args", {}).get("op_name") in ("If", "Loop", "Scan")
    ]
    # A node inside two of them is taken from the inner one alone: the shorter.
    holding.sort(key=lambda index: own[index])
    taken: set[int] = set()
    for index in holding:
        begin = float(events[index]["ts"])
        end = begin + float(events[index]["dur"])
        for other, event in enumerate(events):
            inside = begin <= float(event["ts"]) and float(event["ts"]) + event["dur"] <= end
            if other != index and other not in taken and inside:
                own[index] = max(0.0, own[index] - float(event["dur"]))
                taken.add(other)
    return own


def _kernel(key: tuple[str, str], turns: Sequence[_Turns], runs: int) -> Kernel:
    args = turns[-1].last.get("args", {})
    samples = [0.0] * (runs - len(turns)) + [turn.us for turn in turns]
    return Kernel(
        name=key[0],
        operator=key[1],
        provider=str(args.get("provider", "")),
        us=_middle(samples),
        turns=turns[-1].turns,
        inputs=_shapes(args.get("input_type_shape")),
        outputs=_shapes(args.get("output_type_shape")),
    )


def _shapes(told: Any) -> Shapes:
    return [(kind, list(shape)) for one in told or [] for kind, shape in one.items()]


def _middle(samples: Sequence[float]) -> float:
    ordered = np.sort(samples)
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())
