"""Does the memory of calibration grow with its samples?

    python -m benchmarks.calibration_memory --package cnn.edgekit

Calibrates with 10 samples and with 1,000, by each method, each in processes of their own: the CNN
of a package with the digits that are in it, and a stack of convolutions like ResNet's at
3 x 224 x 224, weights and images random. The peak is the sum of that of the parent, which reads the
feeds, and that of the worker, which runs the model; imports are in it. The bar is the ratio of both
peaks. ONNX Runtime's own calibrators, with 10 and 100, can be put beside it with --peer.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.paired import write_result
from edgekit.machine import threads_available
from edgekit.tensors import Feed
from edgekit.terms import CalibrationMethod, members

BAR = 1.3
FEW, MANY = 10, 1000
BLOCKS = ((64, 2), (128, 2), (256, 2), (512, 2))
"""ResNet's stages: channels, and how many blocks of two convolutions."""
SIDE = 224
MODELS = ("cnn", "convolutions")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--package", type=Path, required=True, help="the CNN's package")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--many", type=int, default=MANY, help="samples of the larger run")
    parser.add_argument("--peer", action="store_true", help="ONNX Runtime's calibrators too")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        model, method, samples, who = options.one
        print(json.dumps(calibrate(Path(model), options.package, method, int(samples), who=who)))
    else:
        report(options)


def report(options: argparse.Namespace) -> None:
    """Measure every row in a fresh process, keep the result, say what came out."""
    rows = []
    whose = ["edgekit", *(["onnxruntime"] if options.peer else [])]
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models:
            path = options.package / "fp32.onnx"
            if model == "convolutions":
                path = Path(folder) / "convolutions.onnx"
                write_convolutions(path)
            for who in whose:
                for method in members(CalibrationMethod):
                    counts = (FEW, options.many if who == "edgekit" else 10 * FEW)
                    runs = [measure(options, path, method, n, who=who) for n in counts]
                    row = {"model": model, "who": who, "method": method, "runs": runs}
                    row["ratio"] = round(runs[1]["peak_mb"] / runs[0]["peak_mb"], 3)
                    rows.append(row)
                    print(in_words(row), file=sys.stderr)
    path = write_result(
        "calibration_memory",
        {"unit": "MB", "bar_ratio": BAR, "threads": threads_available(), "rows": rows},
    )
    print(*map(in_words, rows), f"in {path}", sep="\n")
    ours = [row["ratio"] for row in rows if row["who"] == "edgekit"]
    print(f"largest ratio {max(ours):.2f} (bar: {BAR:g})")


def measure(
    options: argparse.Namespace, model: Path, method: str, samples: int, *, who: str
) -> dict[str, Any]:
    """Calibrate in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.calibration_memory"]
    command += ["--package", str(options.package), "--one", str(model), method, str(samples), who]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def calibrate(model: Path, package: Path, method: Any, samples: int, *, who: str) -> dict[str, Any]:
    """Calibrate once, and read the peaks of this process and of its workers."""
    feeds = images(samples) if model.stem == "convolutions" else digits(package, samples)
    begun = time.perf_counter()
    workers_mb: list[float] = []
    if who == "edgekit":
        values = ours(model, feeds, method, workers_mb=workers_mb)
    else:
        values = peers(model, feeds, method)
    return {
        "samples": samples,
        "values": values,
        "peak_mb": round(own_peak_mb() + sum(workers_mb), 1),
        "parent_mb": round(own_peak_mb(), 1),
        "seconds": round(time.perf_counter() - begun, 2),
    }


def ours(
    model: Path,
    feeds: Callable[[], Iterable[Feed]],
    method: CalibrationMethod,
    *,
    workers_mb: list[float],
) -> int:
    """Calibrate with edgekit: every float32 value; note the peak of each worker as it ends."""
    from edgekit.quantize.elements import FLOAT, element_types, read_typed
    from edgekit.quantize.measuring.calibration import observe
    from edgekit.workers import Worker

    close = Worker.close

    def noted(self: Worker) -> None:
        workers_mb.append(self.peak_mb() or 0.0)
        close(self)

    Worker.close = noted  # type: ignore[method-assign]
    typed = read_typed(model)
    types = element_types(typed)
    made = [name for node in typed.graph.node for name in node.output]
    names = [value.name for value in typed.graph.input] + made
    values = [name for name in names if types.get(name) == FLOAT]
    with tempfile.TemporaryDirectory() as scratch:
        found = observe(model, feeds, values, method=method, scratch=Path(scratch), wall_s=600)
    return len(found.ranges)


def peers(model: Path, feeds: Callable[[], Iterable[Feed]], method: CalibrationMethod) -> int:
    """Calibrate with what onnxruntime.quantization has."""
    from onnxruntime.quantization import CalibrationDataReader
    from onnxruntime.quantization.calibrate import CalibrationMethod as Peers
    from onnxruntime.quantization.calibrate import create_calibrator

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(feeds())

        def get_next(self) -> Any:
            return next(self._left, None)

    which = {"minmax": "MinMax", "percentile": "Percentile", "entropy": "Entropy"}[method]
    with tempfile.TemporaryDirectory() as scratch:
        calibrator = create_calibrator(
            model,
            augmented_model_path=str(Path(scratch) / "augmented.onnx"),
            calibrate_method=getattr(Peers, which),
        )
        calibrator.collect_data(Reader())
        return len(calibrator.compute_data().data)


def digits(package: Path, samples: int) -> Callable[[], Iterable[Feed]]:
    """Read the package's calibration digits, again from the start where there are too few."""
    from edgekit.package import reading
    from edgekit.package.cases import open_cases

    whole = reading.read(package)
    file = whole.graphs[0].calibration
    assert file is not None

    def feeds() -> Iterable[Feed]:
        given = 0
        while True:
            for case in open_cases(package, whole, file).open():
                if given == samples:
                    return
                given += 1
                yield case.feed

    return feeds


def images(samples: int) -> Callable[[], Iterable[Feed]]:
    """Make noise of the size of photographs, one at a time."""

    def feeds() -> Iterable[Feed]:
        rng = np.random.default_rng(0)
        for _ in range(samples):
            yield {"image": rng.random((1, 3, SIDE, SIDE), np.float32)}

    return feeds


def write_convolutions(path: Path) -> None:
    """Write a network of ResNet-18's shape: its activations take 26 MB, its weights 45."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes: list[Any] = []
    weights: list[Any] = []

    def convolved(value: str, given: int, channels: int, *, stride: int, side: int) -> str:
        name = f"conv{len(nodes)}"
        scale = np.float32(np.sqrt(2 / (given * side * side)))
        weight = rng.standard_normal((channels, given, side, side), np.float32) * scale
        weights.append(numpy_helper.from_array(weight, f"{name}_w"))
        pads = [side // 2] * 4
        nodes.append(
            helper.make_node("Conv", [value, f"{name}_w"], [name], strides=[stride] * 2, pads=pads)
        )
        return name

    def added(operator: str, *values: str) -> str:
        name = f"{operator.lower()}{len(nodes)}"
        nodes.append(helper.make_node(operator, list(values), [name]))
        return name

    value = added("Relu", convolved("image", 3, 64, stride=2, side=7))
    nodes.append(
        helper.make_node(
            "MaxPool", [value], ["pool"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4
        )
    )
    value = "pool"
    given = 64
    for stage, (channels, blocks) in enumerate(BLOCKS):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            inner = added("Relu", convolved(value, given, channels, stride=stride, side=3))
            inner = convolved(inner, channels, channels, stride=1, side=3)
            if stride == 2:
                value = convolved(value, given, channels, stride=2, side=1)
            value = added("Relu", added("Add", inner, value))
            given = channels
    nodes.append(helper.make_node("GlobalAveragePool", [value], ["pooled"]))
    graph = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, [1, given, 1, 1])],
        weights,
    )
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)


def own_peak_mb() -> float:
    """Read this process's peak: `ru_maxrss` would begin with that of the process before it."""
    with Path("/proc/self/status").open(encoding="ascii") as status:
        peak = next(line for line in status if line.startswith("VmHWM:"))
    return int(peak.split()[1]) / 1024


def in_words(row: dict[str, Any]) -> str:
    few, many = row["runs"]
    return (
        f"{row['model']:14}{row['who']:13}{row['method']:12}"
        f"{few['peak_mb']:8.0f} MB at {few['samples']:5,} {many['peak_mb']:8.0f} MB at "
        f"{many['samples']:5,}   x {row['ratio']:.2f}   ({many['seconds']:.0f} s)"
    )


if __name__ == "__main__":
    main()
