"""One engine in a process of its own: it opens a model, and answers requests line by line.

    PYTHON benchmarks/peers_serve.py

Runs in any interpreter that has numpy and the engine's library. A request and its reply are a line
of JSON each, on the standard input and output that it was started with; whatever a library prints
goes to stderr. Every engine is timed by the same loop: `perf_counter_ns` around one call that takes
a numpy array for each input and ends with the first output as a numpy array.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[Mapping[str, Any]], Any]
"""Named arrays in, the first output out, as numpy."""


def eager(told: Mapping[str, Any]) -> Run:
    """Open the PyTorch original as it is."""
    return _original(told, compiled=False)


def compiled(told: Mapping[str, Any]) -> Run:
    """Open the PyTorch original behind torch.compile with its defaults."""
    return _original(told, compiled=True)


def _original(told: Mapping[str, Any], *, compiled: bool) -> Run:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import torch

    from exporters.requests import TargetRequest
    from exporters.sources.targets import build

    torch.set_num_threads(told["threads"])
    request = TargetRequest(
        told["target"], folder=".", parameters=told["parameters"], seed=told["seed"]
    )
    exportable = build(request)
    module, names = exportable.module.eval(), list(exportable.inputs())
    call: Callable[..., Any] = torch.compile(module) if compiled else module

    def run(feed: Mapping[str, Any]) -> Any:
        with torch.inference_mode():
            answer = call(*(torch.from_numpy(feed[name]) for name in names))
            return answer.numpy()

    return run


def ort(told: Mapping[str, Any]) -> Run:
    """Open a file in ONNX Runtime on its CPU provider, threads apart with its defaults."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = told["threads"]
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        told["model"], options, providers=["CPUExecutionProvider"]
    )
    first = [session.get_outputs()[0].name]
    return lambda feed: session.run(first, feed)[0]


def openvino(told: Mapping[str, Any]) -> Run:
    """Open a file in OpenVINO's own runtime, for latency, at the sizes of what goes in."""
    import openvino as ov

    core = ov.Core()
    model = core.read_model(told["model"])
    with np.load(told["feed"]) as feed:
        model.reshape({name: list(feed[name].shape) for name in feed.files})
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": told["threads"]}
    opened = core.compile_model(model, "CPU", options | told["options"])
    request = opened.create_infer_request()
    first = opened.outputs[0]
    # Without this what goes in is copied first; what comes out is a copy either way.
    return lambda feed: request.infer(feed, share_inputs=True)[first]


def edgekit(told: Mapping[str, Any]) -> Run:
    """Open a package's variant as an app does."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from edgekit import load

    given = {name: told[name] for name in ("variant", "threads") if told.get(name) is not None}
    model = load(told["model"], **given)
    first = model.outputs[0].name
    if len(model.outputs) == 1:
        return model
    return lambda feed: model(feed)[first]


OPENERS = {"eager": eager, "compiled": compiled, "ort": ort, "openvino": openvino}
OPENERS["edgekit"] = edgekit

LIBRARIES = ("torch", "onnxruntime", "onnxruntime-ep-openvino", "openvino", "nncf", "numpy")


def main() -> int:
    asked = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    opened: dict[str, Any] = {}
    for line in asked:
        try:
            reply = _answer(json.loads(line), opened)
        except Exception as error:  # of any library: the other side says which engine it was
            traceback.print_exc()
            said = " ".join(str(error).split())[:300]
            reply = {"problem": f"{type(error).__name__}: {said}"}
        print(json.dumps(reply), file=answers, flush=True)
    return 0


def _answer(request: Mapping[str, Any], opened: dict[str, Any]) -> dict[str, Any]:
    match request["do"]:
        case "open":
            opened["run"] = OPENERS[request["engine"]](request)
            with np.load(request["feed"]) as feed:
                opened["feed"] = dict(feed)
            opened["run"](opened["feed"])
            return {"versions": _versions()}
        case "run":
            return {"ns": _timed(opened["run"], opened["feed"], request)}
        case "answer":
            return _answered(opened["run"], request)
    raise ValueError(f"nothing is called {request['do']}")


def _timed(run: Run, feed: Mapping[str, Any], request: Mapping[str, Any]) -> list[int]:
    """Call as often as asked after some warm-ups, and give each call's duration in ns."""
    for _ in range(request["warm_ups"]):
        run(feed)
    clock, durations = time.perf_counter_ns, []
    for _ in range(request["calls"]):
        began = clock()
        run(feed)
        durations.append(clock() - began)
    return durations


def _answered(run: Run, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer cases one at a time; what goes in has them along its first axis."""
    with np.load(request["cases"]) as stacked:
        cases = dict(stacked)
    count = len(next(iter(cases.values())))
    found = [
        np.array(run({name: array[i : i + 1] for name, array in cases.items()}))
        for i in range(count)
    ]
    np.save(request["output"], np.concatenate(found))
    return {"cases": count}


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    sys.exit(main())
