"""What do the reference models read of the digits that they have never seen, and at what cost?

    python -m benchmarks.reference_accuracy

Each is trained afresh, in a process and a cache folder of its own, and judged on the 1,500 held-out
digits. Training is the same on every run on one kind of processor, so one run says it all. Next to
the wall clock stands the processor time, which other work on the machine hardly moves.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version

import msgspec

from benchmarks.paired import write_result

LONGEST_S = 120.0
"""Of processor time; the training runs on one thread, so a quiet machine takes as long."""

CASES: tuple[tuple[str, dict[str, str], float | None], ...] = (
    ("cnn", {}, 0.975),
    ("rnn", {}, 0.97),
    ("attention", {}, 0.965),
    ("transformer", {}, 0.88),
    ("rnn", {"cell": "tanh"}, None),
    ("rnn", {"cell": "gru"}, None),
    ("transformer", {"encoder": "lstm"}, None),
    ("alexnet", {"images": "digits"}, None),
    ("rnn", {"cell": "tanh", "num_layers": "2"}, None),
)
"""A model, its parameters, and the share of the held-out digits that it must read right."""

SCRIPT = """
import json, sys, time
import numpy as np
import torch
from exporters import models
from exporters.datasets import digits
from exporters.sources import typed_parameters

name, parameters = json.loads(sys.argv[1])
factory = models.find(name)
typed = typed_parameters(factory, parameters, target=name)
digits.load()
wall, processor = time.perf_counter(), time.process_time()
made = factory(**typed)
wall, processor = time.perf_counter() - wall, time.process_time() - processor
cases = list(made.evaluation())
feeds = [np.concatenate([case.feed[key] for case in cases]) for key in made.inputs()]
with torch.inference_mode():
    answers = made.module(*map(torch.from_numpy, feeds)).argmax(1).numpy()
right = int((answers == [case.label for case in cases]).sum())
weights = sum(value.numel() for value in made.module.state_dict().values())
print(json.dumps([right, len(cases), wall, processor, weights]))
"""


class Trained(msgspec.Struct, frozen=True):
    """What one model reached."""

    model: str
    parameters: dict[str, str]
    bar: float | None
    top1: float
    held_out: int
    wall_s: float
    processor_s: float
    weights: int


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.parse_args()
    rows = []
    for model, parameters, bar in CASES:
        print(f"training {in_words(model, parameters)}", file=sys.stderr)
        rows.append(trained(model, parameters, bar))
    missed = [row for row in rows if row.bar is not None and row.top1 < row.bar]
    slow = [row for row in rows if row.processor_s > LONGEST_S]
    path = write_result(
        "reference_accuracy",
        {
            "unit": "top-1 on the held-out digits; seconds of training",
            "longest_s": LONGEST_S,
            "torch": version("torch"),
            "models": rows,
        },
    )
    report(rows)
    print(f"{len(rows)} trainings; figures in {path}")
    return 1 if missed or slow else 0


def trained(model: str, parameters: dict[str, str], bar: float | None) -> Trained:
    """Train one model in a fresh interpreter and judge it there."""
    with tempfile.TemporaryDirectory(prefix="edgekit-accuracy-") as cache:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, msgspec.json.encode((model, parameters)).decode()],
            env={**os.environ, "EDGEKIT_CACHE": cache},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    right, held_out, wall_s, processor_s, weights = msgspec.json.decode(done.stdout)
    return Trained(
        model=model,
        parameters=parameters,
        bar=bar,
        top1=right / held_out,
        held_out=held_out,
        wall_s=round(wall_s, 2),
        processor_s=round(processor_s, 2),
        weights=weights,
    )


def in_words(model: str, parameters: dict[str, str]) -> str:
    """Write a model as it is typed after `edgekit export`."""
    return " ".join([model, *(f"-p {name}={value}" for name, value in parameters.items())])


def report(rows: list[Trained]) -> None:
    """Print a line a model."""
    print(f"{'':36}  top-1      bar      weights   wall s   processor s")
    for row in rows:
        bar = "–" if row.bar is None else f"{100 * row.bar:.1f} %"
        missed = "" if row.bar is None or row.top1 >= row.bar else "   below the bar"
        print(
            f"{in_words(row.model, row.parameters):36} {100 * row.top1:5.1f} %  {bar:>7} "
            f"{row.weights:>12,} {row.wall_s:8.1f} {row.processor_s:13.1f}{missed}"
        )


if __name__ == "__main__":
    sys.exit(main())
