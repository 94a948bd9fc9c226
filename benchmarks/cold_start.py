"""What do import, load and first call cost with edgekit over bare onnxruntime?

    python -m benchmarks.cold_start --package cnn.edgekit

Fresh interpreters in pairs, in random order, with the same session options and the same input; the
clock starts with the first line, after the interpreter's own start. Modules are compiled before
(into a folder of the run's own), as an installation leaves them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.paired import median_interval, write_result
from edgekit import machine, providers
from edgekit.package import reading
from edgekit.package.values import SessionChoice
from edgekit.tensors import TensorSpec

BAR_MS = 40.0

CLOCK = """
import time
started = time.perf_counter()
"""
STOP = """
import json
print(json.dumps([1e3 * (t - started) for t in (imported, loaded, time.perf_counter())]))
"""
BARE = """
import numpy as np
import onnxruntime as ort
imported = time.perf_counter()
options = ort.SessionOptions()
options.intra_op_num_threads = {threads}
options.inter_op_num_threads = 1
for key, value in {entries}.items():
    options.add_session_config_entry(key, value)
session = ort.InferenceSession({model!r}, options, providers=["CPUExecutionProvider"])
loaded = time.perf_counter()
session.run(None, {{{name!r}: np.zeros({shape}, {dtype!r})}})
"""
EDGEKIT = """
import numpy as np
import edgekit
imported = time.perf_counter()
model = edgekit.load({package!r})
loaded = time.perf_counter()
model(np.zeros({shape}, {dtype!r}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--package", type=Path, required=True, help="a package with one input")
    parser.add_argument("--pairs", type=int, default=40, help="pairs of interpreters (at least 6)")
    parser.add_argument("--warm-ups", type=int, default=2, help="pairs that don't count")
    options = parser.parse_args()
    scripts = scripts_for(options.package.resolve())
    kept: list[dict[str, list[float]]] = []
    with tempfile.TemporaryDirectory(prefix="edgekit-cold-") as bytecode:
        for turn in range(options.warm_ups + options.pairs):
            print(f"pair {turn + 1} of {options.warm_ups + options.pairs}", file=sys.stderr)
            order = list(scripts)
            random.shuffle(order)
            kept.append({side: run(scripts[side], bytecode=bytecode) for side in order})
    report(kept[: options.warm_ups], kept[options.warm_ups :])


def scripts_for(package: Path) -> dict[str, str]:
    """Write both scripts for the package's first variant, with the options that `load` takes."""
    read = reading.read(package)
    (spec,) = read.graphs[0].signature.inputs
    settings = providers.find("cpu").translate(SessionChoice())
    bare = BARE.format(
        threads=settings.intra_op_num_threads,
        entries=settings.config_entries,
        model=str(package / read.variants[0].model),
        name=spec.name,
        shape=example_shape(spec),
        dtype=spec.dtype,
    )
    ours = EDGEKIT.format(package=str(package), shape=example_shape(spec), dtype=spec.dtype)
    return {"edgekit": CLOCK + ours + STOP, "bare": CLOCK + bare + STOP}


def example_shape(spec: TensorSpec) -> tuple[int, ...]:
    """Return an input's shape with every dynamic dimension at its smallest size."""
    return tuple(size if isinstance(size, int) else size.low for size in spec.shape)


def run(script: str, *, bytecode: str) -> list[float]:
    """Run a script in a fresh interpreter: ms until imported, loaded, and first answered."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**environment, "PYTHONPYCACHEPREFIX": bytecode},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [round(ms, 3) for ms in json.loads(done.stdout)]


def report(warm_ups: list[dict[str, list[float]]], pairs: list[dict[str, list[float]]]) -> None:
    """Keep the samples and say what came out."""
    added = median_interval([pair["edgekit"][2] - pair["bare"][2] for pair in pairs])
    path = write_result(
        "cold_start",
        {
            "unit": "ms since the script's first line",
            "columns": ["imported", "loaded", "first answer"],
            "threads": machine.threads_available(),
            "bar_ms": BAR_MS,
            "added_ms": added,
            "warm_ups": warm_ups,
            "pairs": pairs,
        },
    )
    print("                    import     load   first call    together (medians, ms)")
    for side in ("bare", "edgekit"):
        imported, loaded, answered = (median(pair[side][i] for pair in pairs) for i in range(3))
        print(
            f"{side:15}   {imported:8.1f} {loaded - imported:8.1f} {answered - loaded:12.1f} "
            f"{answered:11.1f}"
        )
    print(
        f"edgekit adds {added.value:.1f} ms [{added.low:.1f} … {added.high:.1f}]   "
        f"(bar: {BAR_MS:g} ms)\n{len(pairs)} pairs; samples in {path}"
    )


if __name__ == "__main__":
    main()
