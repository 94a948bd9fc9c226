"""Q/DQ in tiny graphs of every kind: which kernels they become, and what they still answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.random import default_rng

from edgekit import providers
from edgekit.package.values import QuantRules, Target
from edgekit.quantize import files
from edgekit.quantize.elements import read_typed
from edgekit.quantize.qdq.placing import Placed, place, values_to_measure
from edgekit.quantize.qdq.raising import raised

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

Save = Callable[..., Path]
Arrays = dict[str, Any]

VNNI = Target(arch="x86_64", isa=("avx512_vnni",))
CPU = msgspec.structs.replace(
    providers.find("cpu").quant_rules("int8-static", VNNI),
    stem_products=0,  # these images are small; test_stems.py has what stays in float for that
)
ARM = providers.find("cpu").quant_rules("int8-static", Target(arch="aarch64"))
TENSORRT = providers.find("tensorrt").quant_rules("int8-static", Target(provider="tensorrt"))


def draw(*shape: int, seed: int = 0) -> Any:
    return default_rng(seed).standard_normal(shape).astype(np.float32)


def spans_of(model: Any, feed: Arrays, rules: QuantRules) -> dict[str, tuple[float, float]]:
    """Run a model with an answer for every value that may become integers."""
    import onnxruntime as ort

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    there = {value.name for value in watched.graph.output}
    names = [name for name in values_to_measure(model, rules) if name not in feed]
    watched.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in names if name not in there
    )
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(
        watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    # Without names ONNX Runtime would give all answers.
    answers = session.run(names, feed) if names else []
    values = dict(zip(names, answers, strict=True)) | feed
    return {name: (float(v.min()), float(v.max())) for name, v in values.items() if v.size}


class Trial(msgspec.Struct):
    """What became of a graph: nodes placed, kernels that run, answers before and after."""

    placed: Placed
    written: Any
    kernels: Counter[str]
    before: Arrays
    after: Arrays

    @property
    def cosine(self) -> float:
        """The cosine of the first answer to that in float32."""
        a, b = (next(iter(found.values())).ravel() for found in (self.before, self.after))
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.fixture
def attempt(
    save: Save, run: Callable[[Path, Arrays], Arrays], tmp_path: Path
) -> Callable[..., Trial]:
    """Place Q/DQ in a graph, and run it as ONNX Runtime optimizes it."""
    import onnxruntime as ort

    def make(
        text: str,
        weights: Arrays,
        feed: Arrays,
        *,
        rules: QuantRules = CPU,
        opset: int = 20,
        keep: Mapping[str, str] | None = None,
    ) -> Trial:
        path = save(text, weights=weights, opset=opset)
        model = read_typed(path)
        files.load_weights(model, path)
        model = raised(model, path)
        placed = place(model, spans_of(model, feed, rules), rules=rules, keep_float=keep)
        onnx.checker.check_model(model, full_check=True)
        output, optimized = tmp_path / "int8.onnx", tmp_path / "optimized.onnx"
        onnx.save(model, output)
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.optimized_model_filepath = str(optimized)
        ort.InferenceSession(output, options, providers=["CPUExecutionProvider"])
        kernels = Counter(node.op_type for node in onnx.load(optimized).graph.node)
        return Trial(placed, model, kernels, run(path, feed), run(output, feed))

    return make


CONVS = """(float[n,3,8,8] x) => (float[n,4,8,8] y) {
    a = Conv<pads=[1,1,1,1]>(x, w1, b1) r = Relu(a) y = Conv<pads=[1,1,1,1]>(r, w2) }"""
CONV_WEIGHTS = {"w1": draw(6, 3, 3, 3), "b1": draw(6), "w2": draw(4, 6, 3, 3, seed=1)}
IMAGE = {"x": draw(2, 3, 8, 8, seed=2)}


@pytest.mark.parametrize("rules", [CPU, ARM, msgspec.structs.replace(CPU, per_channel=False)])
def test_convolutions_run_in_integers_and_take_their_relu_in(
    attempt: Callable[..., Trial], rules: QuantRules
) -> None:
    done = attempt(CONVS, CONV_WEIGHTS, IMAGE, rules=rules)
    assert done.placed.nodes == ("Conv:a", "Conv:y")
    assert done.placed.kept == {}
    assert done.kernels["QLinearConv"] == 2
    assert done.kernels["Relu"] == done.kernels["Conv"] == 0
    # One pair at either end, and nothing in between.
    assert (done.kernels["QuantizeLinear"], done.kernels["DequantizeLinear"]) == (1, 1)
    assert done.cosine > 0.999
    assert done.after["y"].dtype == np.float32


def test_channels_have_scales_of_their_own(attempt: Callable[..., Trial]) -> None:
    text = "(float[n,16] x) => (float[n,4] y) { y = MatMul(x, w) }"
    weights = {"w": draw(16, 4) * np.array([1, 0.1, 0.01, 0.001], np.float32)}
    errors = []
    for per_channel in (True, False):
        rules = msgspec.structs.replace(CPU, per_channel=per_channel)
        done = attempt(text, weights, {"x": draw(32, 16)}, rules=rules)
        off = np.abs(done.after["y"] - done.before["y"]).max(axis=0)
        errors.append(off / np.abs(done.before["y"]).max(axis=0))
        (scale,) = [t for t in done.written.graph.initializer if t.name == "w_scale"]
        assert list(scale.dims) == ([4] if per_channel else [])
    assert errors[0].max() < 0.02 < 0.2 < errors[1].max()


def test_a_clip_is_taken_in_and_never_exceeded(attempt: Callable[..., Trial]) -> None:
    text = """(float[n,3,8,8] x) => (float[n,4,8,8] y) {
        a = Conv<pads=[1,1,1,1]>(x, w1, b1) c = Clip(a, low, high)
        y = Conv<pads=[1,1,1,1]>(c, w2) }"""
    weights = {**CONV_WEIGHTS, "low": np.float32(0), "high": np.float32(2.3)}
    done = attempt(text, weights, IMAGE)
    assert done.kernels["Clip"] == done.kernels["Conv"] == 0
    assert done.kernels["QLinearConv"] == 2
    assert done.cosine > 0.999


def test_a_clip_that_starts_below_zero_stays(attempt: Callable[..., Trial]) -> None:
    text = """(float[n,3,8,8] x) => (float[n,4,8,8] y) {
        a = Conv<pads=[1,1,1,1]>(x, w1, b1) c = Clip(a, low, high)
        y = Conv<pads=[1,1,1,1]>(c, w2) }"""
    weights = {**CONV_WEIGHTS, "low": np.float32(-1), "high": np.float32(1)}
    done = attempt(text, weights, IMAGE)
    assert done.kernels["Clip"] == 1
    assert done.kernels["QLinearConv"] == 2
    assert done.cosine > 0.998


def test_a_residual_is_added_in_integers(attempt: Callable[..., Trial]) -> None:
    text = """(float[n,3,8,8] x) => (float[n,4,8,8] y) {
        a = Conv<pads=[1,1,1,1]>(x, w1, b1) r = Relu(a)
        b = Conv<pads=[1,1,1,1]>(r, w3) s = Add(b, r) t = Relu(s)
        y = Conv<pads=[1,1,1,1]>(t, w2) }"""
    done = attempt(text, {**CONV_WEIGHTS, "w3": draw(6, 6, 3, 3, seed=5)}, IMAGE)
    assert done.placed.nodes == ("Conv:a", "Conv:b", "Add:s", "Conv:y")
    assert (done.kernels["QLinearConv"], done.kernels["QLinearAdd"]) == (3, 1)
    assert done.kernels["Add"] == done.kernels["Relu"] == 0
    assert (done.kernels["QuantizeLinear"], done.kernels["DequantizeLinear"]) == (1, 1)
    assert done.cosine > 0.999


@pytest.mark.parametrize(
    ("text", "weight", "shape"),
    [
        ("(float[n,3,9] x) => (float[n,4,7] y) { y = Conv(x, w) }", (4, 3, 3), (2, 3, 9)),
        (
            "(float[n,2,4,5,6] x) => (float[n,4,2,3,4] y) { y = Conv(x, w) }",
            (4, 2, 3, 3, 3),
            (2, 2, 4, 5, 6),
        ),
        (
            "(float[n,6,8,8] x) => (float[n,6,6,6] y) { y = Conv<group=6>(x, w) }",
            (6, 1, 3, 3),
            (2, 6, 8, 8),
        ),
        (
            "(float[n,6,8,8] x) => (float[n,4,3,3] y) { y = Conv<group=2,strides=[2,2]>(x, w) }",
            (4, 3, 3, 3),
            (2, 6, 8, 8),
        ),
    ],
)
def test_convolutions_of_every_kind_run_in_integers(
    attempt: Callable[..., Trial], text: str, weight: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    done = attempt(text, {"w": draw(*weight)}, {"x": draw(*shape, seed=1)})
    assert done.kernels["QLinearConv"] == 1
    assert done.cosine > 0.999


@pytest.mark.parametrize("group", [1, 2])
def test_tensorrt_has_transposed_convolutions_too(
    attempt: Callable[..., Trial], group: int
) -> None:
    text = f"""(float[n,4,5,5] x) => (float[n,6,7,7] y) {{
        y = ConvTranspose<group={group}>(x, w, b) }}"""
    weights = {"w": draw(4, 6 // group, 3, 3), "b": draw(6)}
    done = attempt(text, weights, {"x": draw(2, 4, 5, 5)}, rules=TENSORRT)
    assert done.placed.nodes == ("ConvTranspose:y",)
    assert done.cosine > 0.999
    # ONNX Runtime's CPU provider has no such kernel.
    assert attempt(text, weights, {"x": draw(2, 4, 5, 5)}).placed.nodes == ()


def test_a_gemm_may_turn_what_goes_in(attempt: Callable[..., Trial]) -> None:
    text = "(float[16,n] x) => (float[n,8] y) { y = Gemm<transA=1>(x, w, b) }"
    done = attempt(text, {"w": draw(16, 8), "b": np.float32(3)}, {"x": draw(16, 5)})
    assert done.kernels["QGemm"] == 1
    assert done.cosine > 0.999


def test_a_swish_is_one_of_integers(attempt: Callable[..., Trial]) -> None:
    text = """(float[n,3,8,8] x) => (float[n,4,8,8] y) {
        a = Conv<pads=[1,1,1,1]>(x, w1, b1) s = Sigmoid(a) m = Mul(a, s)
        y = Conv<pads=[1,1,1,1]>(m, w2) }"""
    done = attempt(text, CONV_WEIGHTS, IMAGE)
    assert done.placed.nodes == ("Conv:a", "Sigmoid:s", "Mul:m", "Conv:y")
    kernels = ("QLinearConv", "QLinearSigmoid", "QLinearMul", "DequantizeLinear")
    assert [done.kernels[kernel] for kernel in kernels] == [2, 1, 1, 1]
    assert done.cosine > 0.999


def test_a_gate_is_rounded_where_it_meets_integers(attempt: Callable[..., Trial]) -> None:
    """A squeeze-and-excitation block: its mean and its gate are small, and stay float."""
    text = """(float[n,3,8,8] x) => (float[n,4,8,8] y) {
        a = Conv<pads=[1,1,1,1]>(x, w1, b1) r = Relu(a) p = GlobalAveragePool(r)
        e = Conv(p, w3) g = HardSigmoid(e) m = Mul(r, g) y = Conv<pads=[1,1,1,1]>(m, w2) }"""
    done = attempt(text, {**CONV_WEIGHTS, "w3": draw(6, 6, 1, 1, seed=5)}, IMAGE)
    assert done.placed.nodes == ("Conv:a", "Conv:e", "Mul:m", "Conv:y")
    assert done.kernels["QLinearMul"] == 1
    assert done.cosine > 0.998


def test_a_residual_beside_float_stays_float(attempt: Callable[..., Trial]) -> None:
    text = """(float[n,4,8] x) => (float[n,4,8] y) {
        m = MatMul(x, w) s = Add(m, x) y = LayerNormalization(s, g) }"""
    done = attempt(text, {"w": draw(8, 8), "g": np.ones(8, np.float32)}, {"x": draw(2, 4, 8)})
    assert done.placed.nodes == ("MatMul:m",)
    assert done.kernels["MatMulIntegerToFloat"] == 1
    assert done.kernels["DequantizeLinear"] == 0
    assert done.cosine > 0.999


@pytest.mark.parametrize(
    "between",
    [
        "p = MaxPool<kernel_shape=[2,2],strides=[2,2]>(r)",
        "p = Transpose<perm=[0,1,3,2]>(r)",
        "p = Reshape(r, shape)",
        "q = Unsqueeze(r, axis) p = Squeeze(q, axis)",
        "p = Slice(r, zero, three, axis)",
        "p = Gather<axis=2>(r, places)",
        'p = Resize<mode="nearest">(r, , twice)',
        "l, k = Split<axis=1,num_outputs=2>(r) p = Concat<axis=1>(k, l)",
    ],
)
def test_what_moves_values_moves_integers(attempt: Callable[..., Trial], between: str) -> None:
    text = f"""(float[n,3,8,8] x) => (float y) {{
        a = Conv<pads=[1,1,1,1]>(x, w1, b1) r = Relu(a) {between}
        y = Conv<pads=[1,1,1,1]>(p, w2) }}""".replace("(float y)", "(float[n,4,h,v] y)")
    weights = {
        **CONV_WEIGHTS,
        "shape": np.array([0, 6, 4, 16]),
        "axis": np.array([2]),
        "zero": np.array([1]),
        "three": np.array([7]),
        "places": np.array([3, 1, 2]),
        "twice": np.array([1, 1, 2, 2], np.float32),
    }
    done = attempt(text, weights, IMAGE)
    assert done.kernels["QLinearConv"] == 2
    assert done.kernels["DequantizeLinear"] == 1
    assert done.cosine > 0.999


@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize("factors", ["", "alpha=0.5,beta=2.0,"])
def test_gemms_run_in_integers(attempt: Callable[..., Trial], turned: int, factors: str) -> None:
    text = f"""(float[n,16] x) => (float[n,8] y) {{
        h = Gemm<{factors}transB={turned}>(x, w, b) r = Relu(h) y = Gemm(r, w2, b2) }}"""
    weights = {
        "w": draw(12, 16) if turned else draw(16, 12),
        "b": draw(1, 12),
        "w2": draw(12, 8, seed=1),
        "b2": draw(8),
    }
    done = attempt(text, weights, {"x": draw(5, 16)})
    assert done.kernels["QGemm"] == 2
    assert done.kernels["Relu"] == done.kernels["Gemm"] == 0
    assert done.kernels["DequantizeLinear"] == 0  # the last one answers in float
    assert done.cosine > 0.999


def test_a_gemm_with_a_bias_for_each_row_stays(attempt: Callable[..., Trial]) -> None:
    text = "(float[5,16] x) => (float[5,8] y) { h = MatMul(x, v) y = Gemm(h, w, b) }"
    weights = {"w": draw(16, 8), "b": draw(5, 8), "v": draw(16, 16)}
    done = attempt(text, weights, {"x": draw(5, 16)})
    assert done.placed.nodes == ("MatMul:h",)
    assert "a row of its own" in done.placed.kept["Gemm:y"]


def test_products_of_a_transformer_share_what_they_read(attempt: Callable[..., Trial]) -> None:
    text = """(float[n,4,16] x) => (float[n,4,16] y) {
        l = LayerNormalization(x, g)
        q = MatMul(l, wq) k = MatMul(l, wk) v = MatMul(l, wv) t = Transpose<perm=[0,2,1]>(k)
        s = MatMul(q, t) p = Softmax(s) y = MatMul(p, v) }"""
    weights = {name: draw(16, 16, seed=i) / 4 for i, name in enumerate(("wq", "wk", "wv"))}
    done = attempt(text, {**weights, "g": np.ones(16, np.float32)}, {"x": draw(2, 4, 16)})
    assert done.placed.nodes == ("MatMul:q", "MatMul:k", "MatMul:v")
    assert done.placed.kept["MatMul:s"] == "it multiplies two activations"
    assert done.placed.rounded == ("l",)
    assert (done.kernels["MatMulIntegerToFloat"], done.kernels["QuantizeLinear"]) == (3, 1)
    assert done.cosine > 0.99


def test_rows_of_a_large_table_are_gathered_as_integers(attempt: Callable[..., Trial]) -> None:
    text = """(int64[n,4] i) => (float[n,4,16] y) {
        e = Gather(t, i) l = LayerNormalization(e, g) y = MatMul(l, w) }"""
    weights = {"t": draw(300, 16), "g": np.ones(16, np.float32), "w": draw(16, 16)}
    feed = {"i": np.array([[0, 7, 299, 3]])}
    done = attempt(text, weights, feed)
    assert done.placed.nodes == ("Gather:e", "MatMul:y")
    kinds = {t.name: t.data_type for t in done.written.graph.initializer}
    assert kinds["t_int8"] == onnx.TensorProto.INT8
    assert "t" not in kinds
    assert done.cosine > 0.999


def test_rows_that_a_product_takes_at_once_are_turned_back_first(
    attempt: Callable[..., Trial],
) -> None:
    text = "(int64[n,4] i) => (float[n,4,16] y) { e = Gather(t, i) y = MatMul(e, w) }"
    done = attempt(text, {"t": draw(300, 16), "w": draw(16, 16)}, {"i": np.array([[0, 7, -1, 3]])})
    assert done.placed.nodes == ("Gather:e", "MatMul:y")
    assert done.cosine > 0.999


def test_a_tied_table_has_two_forms(attempt: Callable[..., Trial]) -> None:
    text = """(int64[n,4] i) => (float[n,4,300] y) {
        e = Gather(t, i) f = Flatten<axis=2>(e) g = Reshape(f, s) y = Gemm<transB=1>(g, t) }"""
    text = text.replace("float[n,4,300]", "float[m,300]")
    done = attempt(
        text, {"t": draw(300, 16), "s": np.array([-1, 16])}, {"i": np.array([[0, 7, 299, 3]])}
    )
    assert done.placed.nodes == ("Gather:e", "Gemm:y")
    assert done.kernels["QGemm"] == 1
    assert done.cosine > 0.999


def test_a_weight_that_two_nodes_use_is_stored_once(attempt: Callable[..., Trial]) -> None:
    text = "(float[n,8] x) => (float[n,8] y) { h = MatMul(x, w) t = Tanh(h) y = MatMul(t, w) }"
    done = attempt(text, {"w": draw(8, 8)}, {"x": draw(3, 8)})
    stored = [t for t in done.written.graph.initializer if t.data_type == onnx.TensorProto.INT8]
    assert [t.name for t in stored if len(t.dims) == 2] == ["w_int8"]
    assert done.kernels["MatMulIntegerToFloat"] == 2


def test_a_bias_past_32_bits_gets_larger_steps(attempt: Callable[..., Trial]) -> None:
    # The steps of the first channel's bias would be 1e-9 of what they must hold.
    weights = {"w": draw(4, 3, 1, 1), "b": np.array([5, 1, 1, 1], np.float32)}
    weights["w"][0] = 1e-12
    text = "(float[n,3,4,4] x) => (float[n,4,4,4] y) { y = Conv(x, w, b) }"
    done = attempt(text, weights, {"x": draw(2, 3, 4, 4)})
    assert done.kernels["QLinearConv"] == 1
    np.testing.assert_allclose(done.after["y"][:, 0], 5, rtol=0.01)
    assert done.cosine > 0.999


def test_dead_channels_and_values_do_no_harm(attempt: Callable[..., Trial]) -> None:
    weights = {"w": draw(4, 3, 1, 1), "b": draw(4)}
    weights["w"][2] = 0
    text = "(float[n,3,4,4] x) => (float[n,4,4,4] y) { z = Mul(x, o) y = Conv(z, w, b) }"
    done = attempt(text, {**weights, "o": np.float32(0)}, {"x": draw(2, 3, 4, 4)})
    np.testing.assert_allclose(done.after["y"], done.before["y"], atol=0.02)


@pytest.mark.parametrize("opset", [11, 13, 17, 20, 21])
def test_every_opset_can_be_quantized(attempt: Callable[..., Trial], opset: int) -> None:
    axes = "q = Unsqueeze(r, axis) p = Squeeze(q, axis)"
    if opset < 13:
        axes = "q = Unsqueeze<axes=[2]>(r) p = Squeeze<axes=[2]>(q)"
    text = f"""(float[n,3,8,8] x) => (float[n,4,8,8] y) {{
        a = Conv<pads=[1,1,1,1]>(x, w1, b1) r = Relu(a) {axes}
        y = Conv<pads=[1,1,1,1]>(p, w2) }}"""
    weights = CONV_WEIGHTS if opset < 13 else {**CONV_WEIGHTS, "axis": np.array([2])}
    done = attempt(text, weights, IMAGE, opset=opset)
    assert done.placed.nodes == ("Conv:a", "Conv:y")
    assert done.kernels["QLinearConv"] == 2
    assert done.cosine > 0.999
    version = next(o.version for o in done.written.opset_import if o.domain == "")
    assert version == max(opset, 13)


def test_nodes_that_are_kept_stay_with_their_reason(attempt: Callable[..., Trial]) -> None:
    done = attempt(CONVS, CONV_WEIGHTS, IMAGE, keep={"Conv:a": "asked for"})
    assert done.placed.nodes == ("Conv:y",)
    assert done.placed.kept == {"Conv:a": "asked for"}
    assert (done.kernels["QLinearConv"], done.kernels["Relu"]) == (1, 0)  # Conv and Relu are fused
    everything = {"Conv:a": "asked for", "Conv:y": "asked for"}
    done = attempt(CONVS, CONV_WEIGHTS, IMAGE, keep=everything)
    assert done.placed.nodes == ()
    assert done.kernels["QuantizeLinear"] == 0
    assert done.cosine > 0.999999


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_recurrent_node_is_left_with_its_reason(attempt: Callable[..., Trial], kind: str) -> None:
    gates = {"LSTM": 4, "GRU": 3}[kind]
    text = f"""(float[t,n,8] x) => (float[t,1,n,6] y) {{
        h = MatMul(x, p) y = {kind}<hidden_size=6>(h, w, r) }}"""
    weights = {"p": draw(8, 8), "w": draw(1, 6 * gates, 8), "r": draw(1, 6 * gates, 6)}
    done = attempt(text, weights, {"x": draw(5, 2, 8)})
    assert done.placed.nodes == ("MatMul:h",)
    assert f"{kind} has no kernel that Q/DQ reaches" in done.placed.kept[f"{kind}:y"]


def test_branches_stay_float_and_see_the_same_values(attempt: Callable[..., Trial]) -> None:
    text = """(float[n,8] x, bool c) => (float[n,8] y) {
        h = MatMul(x, w) r = Relu(h) k = MatMul(r, w)
        y = If(c) <
            then_branch = t () => (float[n,8] a) { a = MatMul(k, w) },
            else_branch = e () => (float[n,8] b) { b = Neg(k) }
        > }"""
    feed = {"x": draw(3, 8), "c": np.array(True)}
    done = attempt(text, {"w": draw(8, 8)}, feed)
    assert done.placed.nodes == ("MatMul:h", "MatMul:k")
    assert done.cosine > 0.99


def test_symmetric_integers_stand_in_front_of_products_alone(
    attempt: Callable[..., Trial],
) -> None:
    text = """(float[n,3,8,8] x) => (float[n,4,8,8] y) {
        a = Conv<pads=[1,1,1,1]>(x, w1, b1) r = Relu(a)
        b = Conv<pads=[1,1,1,1]>(r, w3) s = Add(b, r) t = Relu(s)
        y = Conv<pads=[1,1,1,1]>(t, w2) }"""
    weights = {**CONV_WEIGHTS, "w3": draw(6, 6, 3, 3, seed=5)}
    done = attempt(text, weights, IMAGE, rules=TENSORRT)
    graph = done.written.graph
    assert done.placed.nodes == ("Conv:a", "Conv:b", "Add:s", "Conv:y")
    makers = {name: node for node in graph.node for name in node.output}
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero = constants[node.input[2]]
            assert zero.dtype == np.int8
            assert not zero.any()
        if node.op_type == "Conv":
            assert [makers[name].op_type for name in node.input[:2]] == ["DequantizeLinear"] * 2
            assert all(name in constants for name in node.input[2:])  # biases stay float
        if node.op_type == "Relu":
            assert makers[node.input[0]].op_type in ("Add", "Conv")
    # Of the residual the side that no Conv makes is rounded: the Conv takes the Add in.
    add = next(node for node in graph.node if node.op_type == "Add")
    assert [makers[name].op_type for name in add.input] == ["Conv", "DequantizeLinear"]
    assert done.cosine > 0.999


def test_a_value_that_has_no_range_leaves_its_node_float(save: Save) -> None:
    path = save(CONVS, weights=CONV_WEIGHTS)
    for span, why in (((0.0, np.inf), "no finite range"), (None, "nothing was measured of x")):
        model = read_typed(path)
        spans = {"x": span, "a": (0.0, 1.0), "r": (0.0, 1.0), "y": (0.0, 1.0)}
        known = {name: found for name, found in spans.items() if found is not None}
        placed = place(model, known, rules=CPU)
        assert placed.nodes == ("Conv:y",)
        assert why in placed.kept["Conv:a"]


def test_a_weight_that_is_not_finite_leaves_its_node_float(save: Save) -> None:
    weights = {**CONV_WEIGHTS, "w1": CONV_WEIGHTS["w1"].copy()}
    weights["w1"][0, 0, 0, 0] = np.inf
    model = read_typed(save(CONVS, weights=weights))
    placed = place(model, dict.fromkeys(("x", "a", "r", "y"), (-1.0, 1.0)), rules=CPU)
    assert placed.kept == {"Conv:a": "a weight of it isn't finite"}


def test_what_goes_in_and_comes_out_keeps_its_type(attempt: Callable[..., Trial]) -> None:
    done = attempt(CONVS, CONV_WEIGHTS, IMAGE)
    graph = done.written.graph
    assert [(v.name, v.type.tensor_type.elem_type) for v in (*graph.input, *graph.output)] == [
        ("x", onnx.TensorProto.FLOAT),
        ("y", onnx.TensorProto.FLOAT),
    ]
    assert not [t.name for t in graph.initializer if t.name in CONV_WEIGHTS]
