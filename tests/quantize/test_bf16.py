"""bf16 models answer as their float32 originals do, to 8 bits, whatever stands in their graphs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit import providers
from edgekit.errors import BadValue, UnknownName
from edgekit.package.values import QuantRules, Target
from edgekit.quantize import scheme

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")
ml_dtypes = pytest.importorskip("ml_dtypes", reason="numpy itself has no bfloat16")

from edgekit.quantize import bf16  # noqa: E402 - only where onnx is installed
from edgekit.quantize.floats.formats import BF16, FP16  # noqa: E402
from edgekit.quantize.floats.halving import half_of  # noqa: E402
from edgekit.quantize.floats.rounding import write_stand_in  # noqa: E402

Save = Callable[..., Path]
Run = Callable[[Path, dict[str, Any]], dict[str, Any]]
Nodes = Callable[[Path], list[str]]

BFLOAT16 = onnx.TensorProto.BFLOAT16


def drawn(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


ONE = "(float[n,4] x) => (float[n,4] y) "
X = {"x": drawn(3, 4)}
MASK = np.where(np.arange(4) > 2, -np.inf, 0).astype(np.float32)
LOWEST = np.where(np.arange(4) > 2, np.finfo(np.float32).min, 0).astype(np.float32)


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


GRAPHS: dict[str, tuple[Any, ...]] = {
    "Conv": (
        "(float[n,3,8,8] x) => (float[n,4,8,8] y) { y = Conv<pads=[1,1,1,1]>(x, w, b) }",
        {"x": drawn(2, 3, 8, 8)},
        {"w": drawn(4, 3, 3, 3), "b": drawn(4)},
    ),
    "pools": (
        "(float[n,3,8,8] x) => (float[n,3,1,1] y) { h = MaxPool<kernel_shape=[2,2]>(x) "
        "k = AveragePool<kernel_shape=[2,2]>(h) y = GlobalAveragePool(k) }",
        {"x": drawn(2, 3, 8, 8)},
        {},
    ),
    "Gemm": (
        ONE + "{ y = Gemm<transB=1, alpha=-0.5>(x, w, b) }",
        X,
        {"w": drawn(4, 4), "b": X["x"][0]},
    ),
    "MatMul": (ONE + "{ h = MatMul(x, w) y = Relu(h) }", X, {"w": drawn(4, 4)}),
    "LSTM": recurrent("LSTM", 4, "y, h, c"),
    "GRU": recurrent("GRU", 3, "y, h"),
    "LayerNormalization": (
        ONE + "{ y = LayerNormalization<epsilon=1e-12>(x, s, b) }",
        X,
        {"s": drawn(4), "b": drawn(4)},
    ),
    "Softmax behind -inf": (ONE + "{ h = Add(x, m) y = Softmax(h) }", X, {"m": MASK}),
    "Softmax behind float32's lowest": (
        ONE + "{ h = Add(x, m) k = Add(h, m) y = Softmax(k) }",
        X,
        {"m": LOWEST},
    ),
    "Gather of int inputs": (
        "(int64[n] i) => (float[n,4] y) { h = Gather(w, i) y = Relu(h) }",
        {"i": np.array([0, 3, 5])},
        {"w": drawn(8, 4)},
    ),
    "Cast to float": (
        "(int64[n,4] i, float[n,4] x) => (float[n,4] y) { c = Cast<to=1>(i) y = Mul(c, x) }",
        {"i": np.arange(12).reshape(3, 4), **X},
        {},
    ),
    "If": (
        "(float[n,4] x, bool c) => (float[n,4] y) { h = Mul(x, w) "
        "k = If(c)<then_branch = t () => (float[n,4] a) { a = Add(h, w) }, "
        "else_branch = e () => (float[n,4] b) { b = Relu(h) }> y = Add(k, w) }",
        {**X, "c": np.array(True)},
        {"w": drawn(4)},
    ),
    "an operator without bf16": (
        ONE + '{ h = Einsum<equation="ij,jk->ik">(x, w) y = Relu(h) }',
        X,
        {"w": drawn(4, 4)},
    ),
    "an operator that ONNX lacks": (
        ONE + "{ h = com.microsoft.FastGelu(x) y = Mul(h, h) }",
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
    "large angles": (
        "(int64[n,1] p, float[n,4] x) => (float[n,4] y) { c = Cast<to=1>(p) a = MatMul(c, w) "
        "s = Sin(a) y = Mul(s, x) }",
        {"p": np.arange(3000, 3003).reshape(3, 1), **X},
        {"w": np.abs(drawn(1, 4)) / 3},
    ),
}


def quantized(
    model: Path,
    feed: dict[str, Any],
    *,
    keep_float: tuple[str, ...] = (),
    rules: QuantRules | None = None,
) -> tuple[Path, scheme.Made]:
    folder = model.parent / "made"
    folder.mkdir(exist_ok=True)
    work = scheme.Work(
        model=model,
        scratch=folder,
        feeds=lambda: [feed],
        cases=1,
        target=Target(provider="cuda"),
        rules=rules or QuantRules(),
        wall_s=60,
    )
    output = folder / "half.onnx"
    return output, bf16.SCHEME.prepare(work)(output, keep_float)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_bf16_model_answers_as_its_original(name: str, save: Save, run: Run) -> None:
    text, feed, weights = GRAPHS[name]
    model = save(text, weights=weights)
    output, made = quantized(model, feed)
    onnx.checker.check_model(str(output), full_check=True)
    assert made.nodes
    assert made.stand_in is not None
    expected = run(model, feed)
    # A CPU has no kernels for the model itself.
    got = run(made.stand_in, feed)
    assert got.keys() == expected.keys()
    for output_name, array in expected.items():
        assert got[output_name].dtype == array.dtype
        bound = 3e-2 * np.abs(array).max(initial=0)
        np.testing.assert_allclose(got[output_name], array, rtol=3e-2, atol=bound)


@pytest.mark.parametrize("name", GRAPHS)
def test_what_goes_in_and_comes_out_stays_as_it_was(name: str, save: Save) -> None:
    text, feed, weights = GRAPHS[name]
    model = save(text, weights=weights)
    output, _ = quantized(model, feed)
    before, after = onnx.load(model).graph, onnx.load(output).graph
    assert list(after.input) == list(before.input)
    assert list(after.output) == list(before.output)


def test_nodes_are_bf16_between_two_casts(save: Save, nodes: Nodes) -> None:
    model = save(ONE + "{ h = MatMul(x, w) y = Relu(h) }", weights={"w": drawn(4, 4)})
    output = model.with_name("half.onnx")
    done = bf16.convert(model, output)
    assert nodes(output) == ["Cast", "MatMul", "Relu", "Cast"]
    assert done.nodes == ("MatMul:h", "Relu:y")
    assert (done.casts, done.kept, done.files, done.opset) == (2, {}, (), 20)
    (weight,) = onnx.load(output).graph.initializer
    assert (weight.name, weight.data_type) == ("w", BFLOAT16)


@pytest.mark.parametrize(("opset", "raised"), [(17, 22), (20, 22), (22, 22), (23, 23)])
def test_the_opset_is_raised_where_an_operator_waits_for_it(
    opset: int, raised: int, save: Save, run: Run
) -> None:
    text, feed, weights = GRAPHS["Conv"]
    model = save(text, weights=weights, opset=opset)
    output, made = quantized(model, feed)
    whole = onnx.load(output)
    assert next(o.version for o in whole.opset_import if o.domain == "") == raised
    assert made.nodes == ("Conv:y",)
    notes = (f"it is written in opset {raised}, its parent in {opset}",) if raised > opset else ()
    assert made.notes == notes
    assert made.stand_in is not None
    np.testing.assert_allclose(run(made.stand_in, feed)["y"], run(model, feed)["y"], atol=0.2)


def test_the_opset_stays_where_nothing_waits_for_another(save: Save) -> None:
    text, feed, weights = GRAPHS["MatMul"]
    output, made = quantized(save(text, weights=weights, opset=17), feed)
    assert next(o.version for o in onnx.load(output).opset_import if o.domain == "") == 17
    assert made.notes == ()


def test_a_model_with_a_branch_keeps_its_opset_and_says_what_stays(save: Save, run: Run) -> None:
    model = save(
        "(float[n,1,4] x, bool c) => (float[n,1,4] y) { h = Conv(x, w) "
        "k = If(c)<then_branch = t () => (float[n,1,4] a) { a = Add(h, h) }, "
        "else_branch = e () => (float[n,1,4] b) { b = Relu(h) }> y = Mul(k, k) }",
        weights={"w": drawn(1, 1, 1)},
    )
    feed = {"x": drawn(2, 1, 4), "c": np.array(True)}
    output, made = quantized(model, feed)
    assert made.kept["Conv:h"] == "it has no form in bf16 before opset 22"
    assert made.nodes == ("Mul:y",)
    assert next(o.version for o in onnx.load(output).opset_import if o.domain == "") == 20


def test_a_target_says_for_which_operators_it_has_kernels(save: Save, nodes: Nodes) -> None:
    text = "(float[n,3,4,4] x) => (float[n,3,2,2] y) { h = Relu(x) k = MaxPool<kernel_shape=[3,3]>"
    model = save(text + "(h) y = Mul(k, k) }")
    rules = QuantRules(operators=("Mul", "Relu"))
    output, made = quantized(model, {"x": drawn(1, 3, 4, 4)}, rules=rules)
    assert nodes(output) == ["Cast", "Relu", "Cast", "MaxPool", "Cast", "Mul", "Cast"]
    assert made.kept == {"MaxPool:k": "cuda has no kernel for MaxPool in bf16"}
    # Nothing waits for an opset that the target has kernels for.
    assert made.notes == ()
    # What the rules say isn't said again node by node.
    assert (made.recipe.rules, made.recipe.keep_float) == (rules, ())


def test_values_that_fp16_cannot_hold_are_no_reason_to_stay(save: Save) -> None:
    text, feed, weights = GRAPHS["values past the end of fp16"]
    _, made = quantized(save(text, weights=weights), feed)
    assert made.kept == {}
    assert len(made.nodes) == 5


@pytest.mark.parametrize(("largest", "stays"), [(1e38, False), (2e38, True)])
def test_values_near_the_end_of_float32_stay(largest: float, stays: bool, save: Save) -> None:
    model = save(ONE + "{ h = Mul(x, w) k = Tanh(h) y = Add(k, k) }", weights={"w": largest})
    _, made = quantized(_in_float32(model), {"x": np.array([[1, 0, 0, -1]], np.float32)})
    assert ("Mul:h" in made.kept) == stays
    if stays:
        assert "the end of bf16's range at 3.3895e+38" in made.kept["Mul:h"]


def _in_float32(model: Path) -> Path:
    whole = onnx.load(model)
    for tensor in whole.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    onnx.save(whole, model)
    return model


@pytest.mark.parametrize(("largest", "stays"), [(256.0, False), (257.0, True)])
def test_whole_numbers_past_256_are_counted_in_float32(
    largest: float, stays: bool, save: Save
) -> None:
    model = save(
        "(float[n] x) => (float[n,2] y) "
        "{ k = Abs(x) i = Cast<to=7>(k) h = Gather(w, i) y = Mul(h, h) }",
        weights={"w": drawn(300, 2)},
    )
    _, made = quantized(model, {"x": np.array([largest], np.float32)})
    assert made.kept == (
        {
            "Abs:k": "it makes the whole numbers of Cast:i, up to 257",
            "Cast:i": "its whole numbers reach 257, and bf16 counts to 256",
        }
        if stays
        else {}
    )


@pytest.mark.parametrize(("largest", "stays"), [(1.0, False), (1.5, True)])
def test_angles_past_1_are_computed_in_float32(largest: float, stays: bool, save: Save) -> None:
    model = save("(float[n] x) => (float[n] y) { h = Neg(x) k = Sin(h) y = Mul(k, k) }")
    _, made = quantized(model, {"x": np.array([largest], np.float32)})
    assert made.kept.keys() == ({"Neg:h", "Sin:k"} if stays else set())


def test_a_running_sum_stays(save: Save) -> None:
    model = save(ONE + "{ h = CumSum(x, a) y = Relu(h) }", weights={"a": np.array(1)})
    _, made = quantized(model, X)
    assert made.nodes == ("Relu:y",)


def test_every_step_is_rounded_as_ml_dtypes_rounds_it(save: Save, run: Run) -> None:
    w, c = np.float32(0.3333), np.float32(100)
    model = save(
        "(float[n] x) => (float[n] y) { h = Mul(x, w) k = Add(h, c) y = Sub(k, c) }",
        weights={"w": w, "c": c},
    )
    half, output = model.with_name("half.onnx"), model.with_name("stand-in.onnx")
    bf16.convert(model, half)
    assert write_stand_in(half, output, of=BF16)
    x = np.random.default_rng(0).standard_normal(500).astype(np.float32)
    short = ml_dtypes.bfloat16
    expected = (x.astype(short) * short(w) + short(c)) - short(c)
    np.testing.assert_array_equal(run(output, {"x": x})["y"], expected.astype(np.float32))
    assert len(np.unique(run(model, {"x": x})["y"])) > 2 * len(np.unique(expected))


def test_a_row_that_is_masked_whole_stays_finite(save: Save, run: Run) -> None:
    model = save(
        "(float[n,2] x) => (float[n,2] y) { h = Add(x, m) k = Add(h, m) y = Softmax(k) }",
        weights={"m": np.full(2, np.finfo(np.float32).min / 2, np.float32)},
    )
    half, output = model.with_name("half.onnx"), model.with_name("stand-in.onnx")
    bf16.convert(model, half)
    assert write_stand_in(half, output, of=BF16)
    x = np.array([[-50, -50], [-60, -60]], np.float32)
    np.testing.assert_array_equal(run(output, {"x": x})["y"], np.full((2, 2), 0.5))


def test_what_is_finite_stays_finite() -> None:
    largest = np.finfo(np.float32).max
    half = half_of(np.array([largest, -largest, np.inf, np.nan, 1.0], np.float32), to=BF16)
    assert half.astype(np.float32).tolist()[:3] == [BF16.largest, -BF16.largest, np.inf]
    assert np.isnan(half[3])
    assert half[4] == 1


@pytest.mark.parametrize("to", [FP16, BF16], ids=lambda to: to.name)
def test_a_format_is_what_it_says(to: Any) -> None:
    def kept(number: float) -> float:
        with np.errstate(over="ignore"):
            return float(to.cast(np.array(number, np.float64)).astype(np.float64))

    assert kept(to.largest) == to.largest
    assert kept(to.largest * 2) == np.inf
    assert kept(to.counts_to) == to.counts_to
    assert kept(to.counts_to + 1) != to.counts_to + 1
    assert kept(to.widest_angle * (1 + 2.0 ** (1 - to.bits))) - to.widest_angle == 2.0**-7
    near = to.smallest * np.linspace(1, 2, 1001)
    off = np.abs(np.array([kept(value) for value in near]) / near - 1)
    assert 0.005 < off.max() < 0.015


def test_a_node_that_was_asked_for_stays_in_float32(save: Save, nodes: Nodes) -> None:
    model = save(ONE + "{ h = MatMul(x, w) k = Exp(h) y = Mul(k, w) }", weights={"w": drawn(4, 4)})
    output, made = quantized(model, {"x": drawn(4, 4)}, keep_float=("Exp:k",))
    assert nodes(output) == ["Cast", "MatMul", "Cast", "Exp", "Cast", "Mul", "Cast"]
    assert made.recipe.keep_float == ("Exp:k",)
    assert made.kept == {"Exp:k": "asked for"}
    with pytest.raises(UnknownName, match="no node 'Exp:z'"):
        quantized(model, {"x": drawn(4, 4)}, keep_float=("Exp:z",))


def test_large_weights_and_those_beside_the_model_survive_a_raised_opset(
    save: Save, run: Run
) -> None:
    weights = {"w": drawn(64, 8, 3, 3), "b": drawn(64)}
    model = save("(float[n,8,6,6] x) => (float[n,64,4,4] y) { y = Conv(x, w, b) }", weights=weights)
    feed = {"x": drawn(1, 8, 6, 6)}
    expected = run(model, feed)["y"]
    onnx.save(
        onnx.load(model), model, save_as_external_data=True, location="w.bin", size_threshold=0
    )
    output, made = quantized(model, feed)
    (beside,) = made.files
    assert (output.parent / beside).stat().st_size >= 64 * 8 * 9 * 2
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(output).graph.initializer}
    np.testing.assert_array_equal(stored["w"], weights["w"].astype(ml_dtypes.bfloat16))
    assert made.stand_in is not None
    np.testing.assert_allclose(run(made.stand_in, feed)["y"], expected, atol=0.2)


def test_the_same_model_gives_the_same_bytes(save: Save) -> None:
    text, _, weights = GRAPHS["Conv"]
    model = save(text, weights=weights)
    contents = []
    for name in ("one", "two"):
        output = model.with_name(f"{name}.onnx")
        bf16.convert(model, output)
        contents.append(output.read_bytes())
    assert contents[0] == contents[1]


def test_a_model_without_a_node_for_bf16_is_refused(save: Save) -> None:
    model = save(ONE + '{ y = Einsum<equation="ij->ij">(x) }')
    with pytest.raises(BadValue, match=r"none may \(Einsum:y: it has no form in bf16"):
        bf16.convert(model, model.with_name("half.onnx"))


@pytest.mark.parametrize("provider", ["cpu", "directml", "coreml", "openvino"])
def test_a_target_without_bfloat16_is_refused(provider: str) -> None:
    with pytest.raises(BadValue, match="bf16"):
        providers.find(provider).quant_rules("bf16", Target(provider=provider))


@pytest.mark.parametrize("provider", ["cuda", "tensorrt", "tensorrt-rtx"])
def test_a_target_with_bfloat16_is_taken(provider: str) -> None:
    rules = providers.find(provider).quant_rules("bf16", Target(provider=provider))
    assert not rules.operators or {"MatMul", "Gemm", "Conv"} <= set(rules.operators)
