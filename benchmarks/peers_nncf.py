"""Quantize a model with NNCF's defaults, for OpenVINO.

    PYTHON benchmarks/peers_nncf.py MODEL.onnx CASES.npz OUTPUT.xml [--transformer]

Runs in the environment that has openvino and nncf. The model takes one case at a time.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np


def main() -> int:
    import nncf
    import openvino as ov

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("cases", help="what to calibrate on, cases along the first axis")
    parser.add_argument("output")
    parser.add_argument("--transformer", action="store_true", help="say that it is one")
    options = parser.parse_args()
    with np.load(options.cases) as stacked:
        cases = dict(stacked)
    count = len(next(iter(cases.values())))
    feeds = [{name: array[i : i + 1] for name, array in cases.items()} for i in range(count)]
    model = ov.Core().read_model(options.model)
    model.reshape({name: list(array.shape) for name, array in feeds[0].items()})
    kind = nncf.ModelType.TRANSFORMER if options.transformer else None
    quantized = nncf.quantize(model, nncf.Dataset(feeds), model_type=kind)
    ov.save_model(quantized, options.output, compress_to_fp16=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
