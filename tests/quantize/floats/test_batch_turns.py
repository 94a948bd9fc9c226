"""An fp16 file runs in a plain ONNX Runtime on a CPU, whatever a Transpose turns."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

from edgekit.quantize import fp16  # noqa: E402 - only where onnx is installed

Save = Callable[..., Path]

PLAIN = """
import json, sys
import numpy as np, onnxruntime as ort
assert "edgekit" not in sys.modules
options = ort.SessionOptions()
options.log_severity_level = 3
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
(y,) = session.run(None, {"x": np.load(sys.argv[2])})
print(json.dumps(y.tolist()))
"""
"""What an app without edgekit does; a process of its own, since what it guards against kills it."""

DANGEROUS = {
    "first axis": "(float[a,b,4] x) => (float[b,a,4] y) "
    "{ t = Transpose<perm=[1,0,2]>(x) y = MatMul(t, w) }",
    "to the end": "(float[a,b,4] x) => (float[b,4,4] y) "
    "{ t = Transpose<perm=[1,2,0]>(x) y = MatMul(t, w) }",
    "second factor": "(float[a,b,4] x) => (float[b,4,4] y) "
    "{ t = Transpose<perm=[1,0,2]>(x) y = MatMul(w, t) }",
    "four axes": "(float[a,b,2,4] x) => (float[b,2,a,4] y) "
    "{ t = Transpose<perm=[1,2,0,3]>(x) y = MatMul(t, w) }",
    "behind a factor": "(float[a,b,4] x) => (float[b,a,4] y) "
    "{ t = Transpose<perm=[1,0,2]>(x) f = Mul(t, half) y = MatMul(f, w) }",
    "one for two": "(float[a,b,4] x) => (float[b,a,4] y) "
    "{ t = Transpose<perm=[1,0,2]>(x) p = MatMul(t, w) q = MatMul(t, v) y = Add(p, q) }",
}
W = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)
WEIGHTS = {"w": W, "v": W.T.copy(), "half": np.float32(0.5)}


def halved(path: Path) -> Path:
    output = path.with_name("fp16.onnx")
    fp16.convert(path, output)
    return output


def reshapes(path: Path) -> int:
    return [node.op_type for node in onnx.load(path).graph.node].count("Reshape")


@pytest.mark.parametrize("case", DANGEROUS)
def test_a_plain_onnxruntime_survives_and_answers(case: str, save: Save, run: Any) -> None:
    shape = (4, 4, 2, 4) if case == "four axes" else (4, 4, 4)
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    model = save(DANGEROUS[case], weights=WEIGHTS)
    output = halved(model)
    np.save(model.with_name("x.npy"), x)
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, str(output), str(model.with_name("x.npy"))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = np.array(json.loads(done.stdout))
    np.testing.assert_allclose(answers, run(model, {"x": x})["y"], atol=0.02)
    onnx.checker.check_model(str(output), full_check=True)


@pytest.mark.parametrize(
    "text",
    [
        # the first axis stays the first, or goes where ONNX Runtime fuses nothing
        "(float[a,b,4] x) => (float[a,4,4] y) { t = Transpose<perm=[0,2,1]>(x) y = MatMul(t, w) }",
        "(float[a,b,4] x) => (float[4,a,4] y) { t = Transpose<perm=[2,0,1]>(x) y = MatMul(t, w) }",
        # as many axes on either side
        "(float[a,4,4] x) => (float[4,a,4] y) { t = Transpose<perm=[1,0,2]>(x) y = MatMul(t, u) }",
        # a node between them
        "(float[a,b,4] x) => (float[b,a,4] y) "
        "{ t = Transpose<perm=[1,0,2]>(x) r = Relu(t) y = MatMul(r, w) }",
        # two axes
        "(float[a,4] x) => (float[4,4] y) { t = Transpose<perm=[1,0]>(x) y = MatMul(t, w) }",
    ],
)
def test_what_is_safe_stays_as_it_is(text: str, save: Save) -> None:
    model = save(text, weights={**WEIGHTS, "u": np.stack([W] * 4)})
    assert reshapes(halved(model)) == 0


def test_a_product_that_stays_in_float_is_left_alone(save: Save) -> None:
    model = save(
        "(float[a,b,4] x) => (float[b,a,4] y) "
        "{ r = Relu(x) t = Transpose<perm=[1,0,2]>(r) [left] y = MatMul(t, w) }",
        weights=WEIGHTS,
    )
    (node,) = (n for n in onnx.load(model).graph.node if n.op_type == "MatMul")
    output = model.with_name("fp16.onnx")
    fp16.convert(model, output, keep_float={node.name or "MatMul:y": "asked for"})
    assert reshapes(output) == 0
