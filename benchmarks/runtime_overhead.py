"""What does a call of an edgekit model cost over a bare `InferenceSession.run`?

    python -m benchmarks.runtime_overhead --package cnn.edgekit

Both run the very same session, so that nothing differs but the call: blocks of `model(x)` and of
`session.run(["logits"], {"image": x})`, the form that onnxruntime answers fastest, follow each
other in pairs, in random order, in several processes. A pair's difference is one sample; a
process's is the median of its pairs; the result is the median over processes with its interval.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.paired import median_interval, write_result

BAR_US = 3.0
NS_PER_US = 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--package", type=Path, required=True, help="a package with one input")
    parser.add_argument("--starts", type=int, default=10, help="processes (at least 6)")
    parser.add_argument("--pairs", type=int, default=400, help="pairs of blocks a process")
    parser.add_argument("--calls", type=int, default=5, help="calls a block")
    parser.add_argument("--one-process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_process:
        print(json.dumps(measure(options.package, options.pairs, calls=options.calls)))
    else:
        report(options)


def measure(package: Path, pairs: int, *, calls: int) -> list[list[int]]:
    """Time pairs of blocks in this process: [edgekit, bare] in ns a call."""
    import numpy as np

    import edgekit

    model = edgekit.load(package, threads=1)
    # Not one of our own making: two sessions of one file differ by more than what is measured.
    session: Any = model._session
    (spec,), outputs = model.inputs, [output.name for output in model.outputs]
    shape = [size if isinstance(size, int) else size.low for size in spec.shape]
    x = np.random.default_rng(0).random(shape).astype(spec.dtype)
    name = spec.name

    def ours() -> Any:
        return model(x)

    def bare() -> Any:
        return session.run(outputs, {name: x})

    for call in (ours, bare) * 100:
        call()
    order = [ours, bare]
    samples = []
    for _ in range(pairs):
        random.shuffle(order)
        took = {call: block_ns(call, calls) for call in order}
        samples.append([round(took[ours]), round(took[bare])])
    return samples


def block_ns(call: Callable[[], Any], calls: int) -> float:
    """Time `calls` calls in a row, in ns a call."""
    turns = range(calls)
    start = time.perf_counter_ns()
    for _ in turns:
        call()
    return (time.perf_counter_ns() - start) / calls


def report(options: argparse.Namespace) -> None:
    """Measure in fresh processes one after another, keep the samples, say what came out."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.runtime_overhead",
        "--one-process",
        "--package",
        str(options.package),
    ]
    command += ["--pairs", str(options.pairs), "--calls", str(options.calls)]
    starts = []
    for start in range(options.starts):
        print(f"process {start + 1} of {options.starts}", file=sys.stderr)
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        starts.append(json.loads(done.stdout))
    by_start = [median(ours - bare for ours, bare in pairs) / NS_PER_US for pairs in starts]
    overhead = median_interval(by_start)
    bare_us = median(bare for pairs in starts for _, bare in pairs) / NS_PER_US
    path = write_result(
        "runtime_overhead",
        {
            "unit": "ns a call",
            "columns": ["edgekit", "bare"],
            "calls_a_block": options.calls,
            "threads": 1,
            "bar_us": BAR_US,
            "overhead_us": overhead,
            "overhead_us_by_start": [round(us, 3) for us in by_start],
            "starts": starts,
        },
    )
    print(f"InferenceSession.run   {bare_us:8.1f} µs a call")
    print(
        f"edgekit adds           {overhead.value:8.2f} µs a call "
        f"[{overhead.low:.2f} … {overhead.high:.2f}]   (bar: {BAR_US:g} µs)"
    )
    print(f"{options.starts} processes of {options.pairs} pairs; samples in {path}")


if __name__ == "__main__":
    main()
