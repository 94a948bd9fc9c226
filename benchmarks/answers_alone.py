"""Run a model over cases and keep its first answer: numpy and ONNX Runtime, one thread, no more.

    python benchmarks/answers_alone.py MODEL.onnx CASES.npz ANSWERS.npy

Light, since it also runs on processors that are emulated.
"""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime as ort


def main(model: str, cases: str, answers: str) -> None:
    """Run each case by itself; what goes in has them along its first axis."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    with np.load(cases) as stacked:
        feeds = dict(stacked)
    count = len(next(iter(feeds.values())))
    found = [
        session.run(None, {name: array[i : i + 1] for name, array in feeds.items()})[0]
        for i in range(count)
    ]
    np.save(answers, np.concatenate(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
