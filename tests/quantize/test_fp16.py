"""fp16 models answer as their float32 originals do, whatever stands in their graphs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import BadValue, ModelFileError, UnknownName
from edgekit.quantize import scheme

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

from edgekit.quantize import fp16  # noqa: E402 - only where onnx is installed

Save = Callable[..., Path]
Run = Callable[[Path, dict[str, Any]], dict[str, Any]]
Nodes = Callable[[Path], list[str]]


def drawn(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def recurrent(operator: str, gates: int, outputs: str) -> tuple[Any, ...]:
    return (
        f"(float[t,b,5] x) => (float[t,1,b,4] y, float[1,b,4] h) "
        f"{{ {outputs} = {operator}<hidden_size=4>(x, w, r, bias) }}",
        {"x": drawn(3, 2, 5)},
        {
            "w": drawn(1, 4 * gates, 5),
            "r": drawn(1, 4 * gates, 4),
            "bias": drawn(1, 8 * gates),
        },
    )


ONE = "(float[n,4] x) => (float[n,4] y) "
X = {"x": drawn(3, 4)}
MASK = np.where(np.arange(4) > 2, -np.inf, 0).astype(np.float32)
LOWEST = np.where(np.arange(4) > 2, np.finfo(np.float32).min, 0).astype(np.float32)

GRAPHS: dict[str, tuple[Any, ...]] = {
    "Conv": (
        "(float[n,3,8,8] x) => (float[n,4,8,8] y) { y = Conv<pads=[1,1,1,1]>(x, w, b) }",
        {"x": drawn(2, 3, 8, 8)},
        {"w": drawn(4, 3, 3, 3), "b": drawn(4)},
    ),
    "ConvTranspose": (
        "(float[n,3,4,4] x) => (float[n,4,8,8] y) { y = ConvTranspose<strides=[2,2]>(x, w) }",
        {"x": drawn(2, 3, 4, 4)},
        {"w": drawn(3, 4, 2, 2)},
    ),
    "Gemm": (
        ONE + "{ y = Gemm<transB=1, alpha=-0.5>(x, w, b) }",
        X,
        {"w": drawn(4, 4), "b": X["x"][0]},
    ),
    "MatMul": (ONE + "{ h = MatMul(x, w) y = Relu(h) }", X, {"w": drawn(4, 4)}),
    "Einsum": (ONE + '{ y = Einsum<equation="ij,jk->ik">(x, w) }', X, {"w": drawn(4, 4)}),
    "LSTM": recurrent("LSTM", 4, "y, h, c"),
    "GRU": recurrent("GRU", 3, "y, h"),
    "RNN": recurrent("RNN", 1, "y, h"),
    "LayerNormalization": (
        ONE + "{ y = LayerNormalization<epsilon=1e-12>(x, s, b) }",
        X,
        {"s": drawn(4), "b": drawn(4)},
    ),
    "BatchNormalization": (
        "(float[n,4,2] x) => (float[n,4,2] y) { y = BatchNormalization(x, s, b, m, v) }",
        {"x": drawn(3, 4, 2)},
        {"s": drawn(4), "b": drawn(4), "m": drawn(4), "v": np.abs(drawn(4)) + 0.1},
    ),
    "Softmax behind -inf": (ONE + "{ h = Add(x, m) y = Softmax(h) }", X, {"m": MASK}),
    "Softmax behind float32's lowest": (ONE + "{ h = Add(x, m) y = Softmax(h) }", X, {"m": LOWEST}),
    "Resize": (
        '(float[1,2,4,4] x) => (float[1,2,8,8] y) { y = Resize<mode="linear">(x, , s) }',
        {"x": drawn(1, 2, 4, 4)},
        {"s": np.array([1, 1, 2, 2], np.float32)},
    ),
    "TopK": (
        "(float[n,4] x) => (float[n,2] y, int64[n,2] i) { y, i = TopK(x, k) }",
        X,
        {"k": np.array([2])},
    ),
    "Cast to float": (
        "(int64[n,4] i, float[n,4] x) => (float[n,4] y) { c = Cast<to=1>(i) y = Mul(c, x) }",
        {"i": np.arange(12).reshape(3, 4), **X},
        {},
    ),
    "Cast there and back": (
        "(float[n,4] x) => (int64[n,4] z, float[n,4] y) { z = Cast<to=7>(x) y = Cast<to=1>(z) }",
        X,
        {},
    ),
    "Gather of int inputs": (
        "(int64[n] i) => (float[n,4] y) { y = Gather(w, i) }",
        {"i": np.array([0, 3, 5])},
        {"w": drawn(8, 4)},
    ),
    "If": (
        "(float[n,4] x, bool c) => (float[n,4] y) { h = Mul(x, w) "
        "k = If(c)<then_branch = t () => (float[n,4] a) { a = Add(h, w) }, "
        "else_branch = e () => (float[n,4] b) { b = Relu(h) }> y = Add(k, w) }",
        {**X, "c": np.array(True)},
        {"w": drawn(4)},
    ),
    "If inside an If": (
        "(float[n,4] x, bool c) => (float[n,4] y) { h = Mul(x, w) k = Relu(h) "
        "l = If(c)<then_branch = t () => (float[n,4] a) { a = If(c)<then_branch = u () => "
        "(float[n,4] d) { d = Add(h, w) }, else_branch = v () => (float[n,4] f) { f = Neg(h) }> }, "
        "else_branch = e () => (float[n,4] b) { b = Abs(x) }> y = Add(k, l) }",
        {**X, "c": np.array(True)},
        {"w": drawn(4)},
    ),
    "an output whose type is set by itself": (
        ONE + "{ r = RandomNormalLike(x) h = Mul(r, x) k = Sub(h, h) y = Add(k, x) }",
        X,
        {},
    ),
    "Loop": (
        "(float[4] x, int64 n) => (float[4] y) { go = Constant<value=bool{1}>() "
        "l = Loop(n, go, x)<body = b (int64 i, bool c, float[4] v) => (bool d, float[4] u) "
        "{ d = Identity(c) u = Add(v, w) }> y = Mul(l, w) }",
        {"x": drawn(4), "n": np.array(3)},
        {"w": drawn(4)},
    ),
    "an operator that ONNX lacks": (
        ONE + "{ h = com.microsoft.FastGelu(x) y = Mul(h, h) }",
        X,
        {},
    ),
    "constants that are nodes": (
        ONE + "{ a = Constant<value_float=2.5>() b = Constant<value=float[4]{1,2,3,4}>() "
        "h = Mul(x, a) y = Add(h, b) }",
        X,
        {},
    ),
    "Shape and a dynamic Reshape": (
        "(float[n,4] x) => (float[k] y, int64[2] s) { h = Relu(x) s = Shape(h) "
        "f = Constant<value=int64[1]{-1}>() y = Reshape(h, f) }",
        X,
        {},
    ),
    "a sequence": (
        "(float[n,4] x) => (float[m,4] y) { h = Relu(x) s = SequenceConstruct(h, h) "
        "y = ConcatFromSequence<axis=0>(s) }",
        X,
        {},
    ),
    "values that are empty": (
        "(float[n,4] x) => (float[m,4] y) { e = Slice(x, z, z) h = Concat<axis=0>(e, x) "
        "s = Relu(e) y = Add(h, h) }",
        X,
        {"z": np.array([0])},
    ),
    "an input that is an output": (
        "(float[n,4] x) => (float[n,4] y, float[n,4] z) { y = Identity(x) z = Relu(y) }",
        X,
        {},
    ),
    "values past the end of fp16": (
        ONE + "{ h = Mul(x, w) k = Mul(h, w) l = Reshape(k, s) m = Div(l, v) y = Add(m, m) }",
        X,
        {
            "w": np.array(1000, np.float32),
            "v": np.array(1e6, np.float32),
            "s": np.array([-1, 4]),
        },
    ),
    "sums past the end of fp16": (
        ONE + "{ h = MatMul(x, w) y = Add(h, h) }",
        {"x": np.full((1, 4), 200, np.float32)},
        {"w": np.array([[300], [-300], [300], [-300]], np.float32) * np.ones(4, np.float32)},
    ),
    "an epsilon that fp16 takes for 0": (
        ONE
        + "{ v = Sub(x, x) h = Add(v, e) s = Sqrt(h) q = Div(x, s) y = Mul(q, e) z = Add(x, x) }",
        X,
        {"e": np.array(1e-12, np.float32)},
    ),
    "large angles": (
        "(int64[n,1] p, float[n,4] x) => (float[n,4] y) { c = Cast<to=1>(p) a = MatMul(c, w) "
        "s = Sin(a) y = Mul(s, x) }",
        {"p": np.arange(3000, 3003).reshape(3, 1), **X},
        {"w": np.abs(drawn(1, 4)) / 3},
    ),
    "a weight that both use": (
        "(float[n,4] x, int64[n,1] p) => (float[n,4] y) { h = MatMul(x, w) c = Cast<to=1>(p) "
        "a = Mul(c, k) s = Sin(a) z = MatMul(s, w) y = Add(h, z) }",
        {"p": np.arange(3000, 3003).reshape(3, 1), **X},
        {"w": drawn(4, 4), "k": drawn(1, 4)},
    ),
    "a Scatter that adds up": (
        ONE + '{ h = Relu(x) k = ScatterND<reduction="add">(h, i, u) y = Mul(k, k) }',
        X,
        {"i": np.array([[0], [0]]), "u": drawn(2, 4)},
    ),
    "an end that cuts off nothing": (
        ONE + "{ h = Mul(x, x) y = Clip(h, a, b) }",
        X,
        {"a": np.array(0, np.float32), "b": np.array(3.4e38, np.float32)},
    ),
}


def quantized(
    model: Path, feed: dict[str, Any], keep_float: tuple[str, ...] = (), folder: Path | None = None
) -> tuple[Path, scheme.Made]:
    folder = folder or model.parent
    work = scheme.Work(model=model, scratch=folder, feeds=lambda: [feed], cases=1, wall_s=60)
    output = folder / "half.onnx"
    return output, fp16.SCHEME.prepare(work)(output, keep_float)


@pytest.mark.parametrize("name", GRAPHS)
def test_an_fp16_model_answers_as_its_original(name: str, save: Save, run: Run) -> None:
    text, feed, weights = GRAPHS[name]
    model = save(text, weights=weights)
    output, made = quantized(model, feed)
    onnx.checker.check_model(str(output), full_check=True)
    assert made.nodes
    assert made.stand_in is not None
    expected = run(model, feed)
    for path in (output, made.stand_in):
        got = run(path, feed)
        assert got.keys() == expected.keys()
        for output_name, array in expected.items():
            assert got[output_name].dtype == array.dtype
            bound = 2e-3 * np.abs(array).max(initial=0)
            np.testing.assert_allclose(got[output_name], array, rtol=2e-3, atol=bound)


@pytest.mark.parametrize(
    ("node", "opset", "why"),
    [
        ("k = MeanVarianceNormalization(h)", 20, "ONNX writes it out with float32 inside"),
        ("b = BitCast<to=6>(h) k = BitCast<to=1>(b)", 26, "it takes numbers for their bits"),
        ('k = ScatterND<reduction="max">(h, i, u)', 20, "it adds up where it writes"),
    ],
)
def test_what_is_another_thing_in_fp16_stays_in_float32(
    node: str, opset: int, why: str, save: Save, run: Run
) -> None:
    text = "(float[n,4,2,2] x) => (float[n,4,2,2] y) { h = Relu(x) " + node + " y = Mul(k, k) }"
    weights = {"i": np.array([[0], [0]]), "u": drawn(2, 4, 2, 2)} if "ScatterND" in node else {}
    model = save(text, weights=weights, opset=opset)
    feed = {"x": drawn(3, 4, 2, 2)}
    output, made = quantized(model, feed)
    assert len(made.nodes) == 2
    assert all(reason.startswith(why) for reason in made.kept.values())
    np.testing.assert_allclose(run(output, feed)["y"], run(model, feed)["y"], rtol=2e-3, atol=1e-2)


@pytest.mark.parametrize("opset", [8, 9, 11, 13, 17, 18, 21, 23])
def test_models_of_old_and_new_opsets_are_converted(opset: int, save: Save, run: Run) -> None:
    text = ONE + "{ h = MatMul(x, w) k = Add(h, b) y = Softmax<axis=1>(k) }"
    model = save(text, weights={"w": drawn(4, 4), "b": drawn(4)}, opset=opset)
    output, made = quantized(model, X)
    assert len(made.nodes) == 3
    np.testing.assert_allclose(run(output, X)["y"], run(model, X)["y"], atol=2e-3)


def test_nodes_are_fp16_between_two_casts(save: Save, nodes: Nodes) -> None:
    model = save(ONE + "{ h = MatMul(x, w) y = Relu(h) }", weights={"w": drawn(4, 4)})
    output = model.with_name("half.onnx")
    done = fp16.convert(model, output)
    assert nodes(output) == ["Cast", "MatMul", "Relu", "Cast"]
    assert (len(done.nodes), done.casts, done.kept, done.files) == (2, 2, {}, ())
    (weight,) = onnx.load(output).graph.initializer
    assert (weight.name, weight.data_type) == ("w", onnx.TensorProto.FLOAT16)


def test_a_node_that_was_asked_for_stays_in_float32(save: Save, run: Run, nodes: Nodes) -> None:
    model = save(ONE + "{ h = MatMul(x, w) k = Exp(h) y = Mul(k, w) }", weights={"w": drawn(4, 4)})
    feed = {"x": drawn(4, 4)}
    output, made = quantized(model, feed, keep_float=("Exp:k",))
    assert nodes(output) == ["Cast", "MatMul", "Cast", "Exp", "Cast", "Mul", "Cast"]
    assert made.recipe.keep_float == ("Exp:k",)
    assert made.kept == {"Exp:k": "asked for"}
    np.testing.assert_allclose(run(output, feed)["y"], run(model, feed)["y"], rtol=1e-2, atol=1e-2)


def test_a_weight_of_a_node_that_stays_loses_nothing(save: Save, run: Run) -> None:
    model = save(
        ONE + "{ h = MatMul(x, w) y = Add(h, x) z = MatMul(x, w) }", weights={"w": drawn(4, 4)}
    )
    graph = onnx.load(model)
    graph.graph.output.append(onnx.helper.make_tensor_value_info("z", 1, ["n", 4]))
    onnx.save(graph, model)
    output, _ = quantized(model, X, keep_float=("MatMul:z",))
    kinds = {tensor.name: tensor.data_type for tensor in onnx.load(output).graph.initializer}
    assert kinds == {"w": onnx.TensorProto.FLOAT, "w_fp16": onnx.TensorProto.FLOAT16}
    expected, got = run(model, X), run(output, X)
    np.testing.assert_allclose(got["z"], expected["z"], rtol=1e-6)
    assert not np.array_equal(got["y"], expected["y"])


def test_a_node_that_only_moves_values_stays_with_its_neighbours(save: Save, nodes: Nodes) -> None:
    model = save(ONE + "{ h = Exp(x) k = Transpose(h) l = Log(k) m = Transpose(l) y = Neg(m) }")
    output = model.with_name("half.onnx")
    done = fp16.convert(model, output, keep_float={"Exp:h": "why", "Log:l": "why"})
    assert nodes(output) == ["Exp", "Transpose", "Log", "Cast", "Transpose", "Neg", "Cast"]
    assert done.kept.keys() == {"Exp:h", "Transpose:k", "Log:l"}


def test_a_node_that_is_not_there_is_named_with_the_nearest(save: Save) -> None:
    model = save(ONE + "{ h = Exp(x) y = Log(h) }")
    with pytest.raises(UnknownName, match=r"no node 'Exp:k' among the 2 .* Did you mean 'Exp:h'"):
        quantized(model, X, keep_float=("Exp:k",))


@pytest.mark.parametrize(
    ("dtype", "onnx_type", "precision"),
    [
        (np.float16, "float16", "fp16"),
        ("bfloat16", "bfloat16", "bf16"),
        (np.float64, "double", "fp64"),
    ],
)
def test_a_model_in_another_precision_is_refused(
    dtype: Any, onnx_type: str, precision: str, save: Save
) -> None:
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    text = f"({onnx_type}[n,4] x) => ({onnx_type}[n,4] y) {{ y = MatMul(x, w) }}"
    model = save(text, weights={"w": drawn(4, 4).astype(dtype)})
    with pytest.raises(BadValue, match=f"which is {precision}: expected float32"):
        fp16.convert(model, model.with_name("half.onnx"))


def test_a_model_without_a_node_for_fp16_is_refused(save: Save) -> None:
    model = save("(int64[n] x) => (int64[n] y) { y = Add(x, x) }")
    with pytest.raises(BadValue, match="here none may"):
        fp16.convert(model, model.with_name("half.onnx"))
    model = save(
        "(float[n,4] x) => (float[n,4] y) { y = CumSum(x, a) }", weights={"a": np.array(1)}
    )
    with pytest.raises(BadValue, match=r"none may \(CumSum:y: a running sum"):
        quantized(model, X)


def test_external_data_stays_external(save: Save, run: Run, tmp_path: Path) -> None:
    weights = {"w": drawn(64, 64)}
    model = save("(float[n,64] x) => (float[n,64] y) { y = MatMul(x, w) }", weights=weights)
    whole = onnx.load(model)
    onnx.save(whole, model, save_as_external_data=True, location="w.bin", size_threshold=0)
    folder = tmp_path / "out"
    folder.mkdir()
    feed = {"x": drawn(2, 64)}
    output, made = quantized(model, feed, folder=folder)
    (beside,) = made.files
    there = {path.name for path in folder.iterdir()}
    assert there >= {"half.onnx", beside}
    assert "w.bin" not in there
    assert (folder / beside).stat().st_size >= 64 * 64 * 2
    np.testing.assert_allclose(run(output, feed)["y"], run(model, feed)["y"], atol=2e-2)


def test_external_data_that_is_gone_is_told(save: Save) -> None:
    model = save(ONE + "{ y = MatMul(x, w) }", weights={"w": drawn(4, 4)})
    whole = onnx.load(model)
    onnx.save(whole, model, save_as_external_data=True, location="w.bin", size_threshold=0)
    model.with_name("w.bin").unlink()
    with pytest.raises(ModelFileError, match=r"model\.onnx cannot be used"):
        fp16.convert(model, model.with_name("half.onnx"))


def test_a_weight_that_is_also_an_input_becomes_a_weight_alone(save: Save, run: Run) -> None:
    model = save("(float[n,4] x, float[4,4] w) => (float[n,4] y) { y = MatMul(x, w) }")
    old = onnx.load(model)
    old.graph.initializer.append(onnx.numpy_helper.from_array(drawn(4, 4), "w"))
    old.ir_version = 3
    onnx.save(old, model)
    output, _ = quantized(model, X)
    assert [value.name for value in onnx.load(output).graph.input] == ["x"]
    np.testing.assert_allclose(run(output, X)["y"], run(model, X)["y"], atol=1e-2)


def test_functions_are_written_out(save: Save, run: Run, nodes: Nodes) -> None:
    model = save(ONE + "{ y = Neg(x) }")
    text = """<ir_version: 10, opset_import: ["": 20, "local": 1]>
        g (float[n,4] x) => (float[n,4] y) { h = local.twice(x) y = Neg(h) }
        <domain: "local", opset_import: ["": 20]> twice (a) => (b) { b = Add(a, a) }"""
    onnx.save(onnx.parser.parse_model(text), model)
    output, _ = quantized(model, X)
    assert nodes(output) == ["Cast", "Add", "Neg", "Cast"]
    np.testing.assert_allclose(run(output, X)["y"], -2 * X["x"], rtol=1e-3)


def test_the_same_model_gives_the_same_bytes(save: Save) -> None:
    model = save(ONE + "{ h = MatMul(x, w) y = Relu(h) }", weights={"w": drawn(4, 4)})
    contents = []
    for name in ("one", "two"):
        output = model.with_name(f"{name}.onnx")
        fp16.convert(model, output)
        contents.append(output.read_bytes())
    assert contents[0] == contents[1]


def test_weights_that_are_too_large_for_the_model_lie_beside_it(
    save: Save, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save(
        "(float[n,64] x) => (float[n,64] y) { y = MatMul(x, w) }", weights={"w": drawn(64, 64)}
    )
    monkeypatch.setattr("edgekit.quantize.files.EXTERNAL_DATA_BYTES", 64 * 64)
    output = model.with_name("half.onnx")
    done = fp16.convert(model, output)
    (beside,) = done.files
    assert (model.parent / beside).stat().st_size >= 64 * 64 * 2
    feed = {"x": drawn(2, 64)}
    np.testing.assert_allclose(run(output, feed)["y"], run(model, feed)["y"], atol=2e-2)
