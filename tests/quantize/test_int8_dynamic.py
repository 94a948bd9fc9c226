"""int8 with dynamic ranges: every kind of node, held to what rounding may cost it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.errors import BadValue, ModelFileError, UnknownName
from edgekit.package.values import QuantRules, Target
from edgekit.quantize import scheme
from edgekit.quantize.scheme import Made, Settings, Work

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

Save = Callable[..., Path]
Run = Callable[[Path, dict[str, Any]], dict[str, Any]]
Nodes = Callable[[Path], list[str]]

PORTABLE = Target(arch="x86_64")
WITH_VNNI = Target(arch="x86_64", isa=("avx512_vnni",))


def drawn(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def made(
    model: Path,
    *,
    keep: tuple[str, ...] = (),
    rules: QuantRules | None = None,
    feeds: tuple[dict[str, Any], ...] = (),
    smooth: float | None = None,
) -> tuple[Path, Made]:
    rules = rules or QuantRules()
    work = Work(
        model=model,
        scratch=model.parent,
        feeds=lambda: iter(feeds),
        cases=len(feeds),
        target=PORTABLE if rules.weight_bits == 7 else WITH_VNNI,
        rules=rules,
        settings=Settings(smooth=smooth),
    )
    output = model.with_name("int8.onnx")
    return output, scheme.find("int8-dynamic").prepare(work)(output, keep)


def unoptimized(path: Path, feed: dict[str, Any]) -> list[Any]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return list(session.run(None, feed))


def in_wide_integers(path: Path, feed: dict[str, Any]) -> Any:
    """Answer as ONNX defines it, which no processor's 16 bits cut off."""
    from onnx.reference import ReferenceEvaluator

    answers: Any = ReferenceEvaluator(str(path)).run(None, feed)
    return answers[0]


def bound(x: Any, rows: Any, *, bits: int = 8) -> float:
    """How far a product may be off: each of its terms is rounded on both sides."""
    step = (max(x.max(initial=0), 0) - min(x.min(initial=0), 0)) / 255
    weight = np.abs(rows).max() / (2 ** (bits - 1) - 1) / 2
    depth = rows.shape[1]
    sums = np.abs(rows).sum(axis=1).max(), np.abs(x).sum(axis=-1).max(initial=0)
    return float(step * sums[0] + weight * sums[1] + depth * step * weight) + 1e-5


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    batch=st.lists(st.integers(1, 3), max_size=3),
    depth=st.integers(16, 40),
    columns=st.integers(16, 24),
    bits=st.sampled_from([7, 8]),
    per_channel=st.booleans(),
    seed=st.integers(0, 99),
)
def test_matmul_of_any_shape_answers_within_what_rounding_costs(
    save: Save,
    run: Run,
    batch: list[int],
    depth: int,
    columns: int,
    bits: Any,
    per_channel: bool,
    seed: int,
) -> None:
    weight, x = drawn(depth, columns, seed=seed), drawn(*batch, depth, seed=seed)
    sizes = ",".join(f"d{i}" for i in range(len(batch)))
    head = f"float[{sizes}{',' if sizes else ''}"
    model = save(
        f"({head}{depth}] x) => ({head}{columns}] y) {{ y = MatMul(x, w) }}", weights={"w": weight}
    )
    output, _ = made(model, rules=QuantRules(weight_bits=bits, per_channel=per_channel))
    # Without VNNI, 8-bit weights may leave 16 bits; with 7 they don't, whatever runs this.
    got = run(output, {"x": x})["y"] if bits == 7 else in_wide_integers(output, {"x": x})
    assert got.shape == (*batch, columns)
    assert np.abs(got - x @ weight).max() <= bound(x, weight.T, bits=bits)


@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", ["", "row", "full", "computed"])
def test_gemm_in_every_form_answers_within_what_rounding_costs(
    save: Save, run: Run, turned: int, transposed: int, bias: str
) -> None:
    x, weight = drawn(24, 5) if turned else drawn(5, 24), drawn(24, 20)
    weights = {"w": weight.T.copy() if transposed else weight}
    full = {"": 0.0, "row": drawn(20), "full": drawn(5, 20), "computed": drawn(20)}[bias]
    if bias:
        weights["b"] = full
    inner = "s = Add(b, b)" if bias == "computed" else ""
    term = {"": "", "computed": ", s"}.get(bias, ", b")
    total = 2 * np.asarray(full) if bias == "computed" else np.asarray(full)
    rows, depth = ("24", "5") if turned else ("5", "24")
    model = save(
        f"(float[{rows},{depth}] x) => (float[5,20] y) {{ {inner} "
        f"y = Gemm<transA={turned}, transB={transposed}, alpha=0.5, beta=2.0>(x, w{term}) }}",
        weights=weights,
    )
    output, done = made(model, rules=QuantRules(weight_bits=7))
    assert done.nodes == ("Gemm:y",)
    exact = 0.5 * ((x.T if turned else x) @ weight) + 2 * total
    got = run(output, {"x": x})["y"]
    assert np.abs(got - exact).max() <= bound(x.T if turned else x, 0.5 * weight.T, bits=7)
    np.testing.assert_allclose(unoptimized(output, {"x": x})[0], got, atol=1e-4)


def test_products_of_one_input_share_its_rounding(save: Save, nodes: Nodes) -> None:
    model = save(
        "(float[n,32] x) => (float[n,16] y) { a = MatMul(x, v) b = MatMul(x, w) y = Add(a, b) }",
        weights={"v": drawn(32, 16), "w": drawn(32, 16, seed=1)},
    )
    output, done = made(model)
    assert nodes(output).count("DynamicQuantizeLinear") == 1
    assert nodes(output).count("MatMulInteger") == len(done.nodes) == 2


def test_one_weight_of_two_products_is_stored_once(save: Save) -> None:
    model = save(
        "(float[n,32] x, float[n,32] z) => (float[n,32] y) "
        "{ a = MatMul(x, w) b = MatMul(z, w) y = Add(a, b) }",
        weights={"w": drawn(32, 32)},
    )
    output, _ = made(model)
    stored = [
        t for t in onnx.load(output).graph.initializer if t.data_type == onnx.TensorProto.INT8
    ]
    assert len(stored) == 1


LSTMS = {
    "forward": ("", 1, ""),
    "reverse": ('direction="reverse", ', 1, ""),
    "bidirectional": ('direction="bidirectional", ', 2, ""),
    "without a bias": ("", 1, "bias"),
    "with sizes": ("", 1, "sizes"),
    "with states": ('direction="bidirectional", ', 2, "states"),
    "with peepholes": ("", 1, "peepholes"),
    "clipped": ("clip=0.5, input_forget=0, ", 1, ""),
}


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("kind", LSTMS)
def test_lstm_in_every_form_stays_close_to_its_float_answers(
    save: Save, run: Run, nodes: Nodes, kind: str, per_channel: bool
) -> None:
    options, directions, extra = LSTMS[kind]
    hidden, inputs = 24, 10
    weights: dict[str, Any] = {
        "w": 0.3 * drawn(directions, 4 * hidden, inputs),
        "r": 0.3 * drawn(directions, 4 * hidden, hidden),
    }
    names = ["x", "w", "r", "", "", "", "", ""]
    if extra != "bias":
        weights["b"] = 0.3 * drawn(directions, 8 * hidden)
        names[3] = "b"
    if extra == "sizes":
        weights["sizes"] = np.array([7, 3], np.int32)
        names[4] = "sizes"
    if extra == "states":
        weights |= {"h0": drawn(directions, 2, hidden), "c0": drawn(directions, 2, hidden, seed=1)}
        names[5:7] = ["h0", "c0"]
    if extra == "peepholes":
        weights |= {"p": drawn(directions, 3 * hidden)}
        names[7] = "p"
    while not names[-1]:
        names.pop()
    model = save(
        f"(float[7,2,{inputs}] x) => (float[7,{directions},2,{hidden}] y, "
        f"float[{directions},2,{hidden}] h, float[{directions},2,{hidden}] c) "
        f"{{ y, h, c = LSTM<{options}hidden_size={hidden}>({', '.join(names)}) }}",
        weights=weights,
    )
    output, done = made(model, rules=QuantRules(per_channel=per_channel, weight_bits=7))
    assert nodes(output) == ["DynamicQuantizeLSTM"]
    assert done.nodes == ("LSTM:y",)
    feed = {"x": drawn(7, 2, inputs)}
    exact, got = run(model, feed), run(output, feed)
    for name, answer in exact.items():
        assert np.abs(got[name] - answer).max() < 0.1, name
        assert cosine(got[name], answer) > 0.999
    assert cosine(unoptimized(output, feed)[1], exact["h"]) > 0.999


@pytest.mark.parametrize(("smallest", "scales"), [(1.0, 1), (0.02, 96)])
def test_lstm_gets_a_scale_a_column_where_one_in_all_is_too_coarse(
    save: Save, run: Run, smallest: float, scales: int
) -> None:
    """One is faster, and enough where columns are alike."""
    sizes = np.linspace(smallest, 1, 96, dtype=np.float32).reshape(1, -1, 1)
    weights = {"w": 0.3 * sizes * drawn(1, 96, 10), "r": 0.3 * sizes * drawn(1, 96, 24)}
    model = save(
        "(float[7,2,10] x) => (float[7,1,2,24] y) { y = LSTM<hidden_size=24>(x, w, r) }",
        weights=weights,
    )
    output, _ = made(model)
    stored = {tensor.name: tensor.dims for tensor in onnx.load(output).graph.initializer}
    assert [int(np.prod(stored[name])) for name in ("w_scale", "r_scale")] == [scales] * 2
    feed = {"x": drawn(7, 2, 10)}
    assert cosine(run(output, feed)["y"], run(model, feed)["y"]) > 0.999


def cosine(a: Any, b: Any) -> float:
    a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def test_lstm_whose_weights_are_put_together_at_run_time_is_covered(
    save: Save, run: Run, nodes: Nodes
) -> None:
    model = save(
        "(float[t,1,8] x) => (float[1,1,16] h) { a = Concat<axis=0>(wi, wofc) "
        "w = Unsqueeze(a, axes) r = Unsqueeze(b, axes) y, h = LSTM<hidden_size=16>(x, w, r) }",
        weights={
            "wi": drawn(16, 8),
            "wofc": drawn(48, 8),
            "b": drawn(64, 16),
            "axes": np.array([0], np.int64),
        },
    )
    output, _ = made(model, rules=QuantRules(weight_bits=7))
    assert nodes(output) == ["DynamicQuantizeLSTM"]
    feed = {"x": drawn(4, 1, 8)}
    assert cosine(run(output, feed)["h"], run(model, feed)["h"]) > 0.99


KEPT = {
    "GRU": (
        "(float[t,1,8] x) => (float[1,1,16] h) { y, h = GRU<hidden_size=16>(x, w, r) }",
        {"w": drawn(1, 48, 8), "r": drawn(1, 48, 16)},
        "no integer kernel",
    ),
    "GRU of weights that are put together": (
        "(float[t,1,8] x) => (float[1,1,16] h) { w = Unsqueeze(a, z) r = Unsqueeze(b, z) "
        "y, h = GRU<hidden_size=16>(x, w, r) }",
        {"a": drawn(48, 8), "b": drawn(48, 16), "z": np.array([0], np.int64)},
        "no integer kernel",
    ),
    "RNN": (
        "(float[t,1,8] x) => (float[1,1,16] h) { y, h = RNN<hidden_size=16>(x, w, r) }",
        {"w": drawn(1, 16, 8), "r": drawn(1, 16, 16)},
        "no integer kernel",
    ),
    "Conv": (
        "(float[1,16,4,4] x) => (float[1,16,4,4] h) { h = Conv(x, w) }",
        {"w": drawn(16, 16, 1, 1)},
        "slower than float",
    ),
    "one column": (
        "(float[n,64] x) => (float[n,1] h) { h = MatMul(x, w) }",
        {"w": drawn(64, 1)},
        "too small",
    ),
    "two that are computed": (
        "(float[16,16] x) => (float[16,16] h) { h = MatMul(x, x) }",
        {},
        "both of its inputs are computed",
    ),
    "a matrix on the left": (
        "(float[16,n] x) => (float[16,n] h) { h = MatMul(w, x) }",
        {"w": drawn(16, 16)},
        "on the left",
    ),
    "several matrices": (
        "(float[2,n,16] x) => (float[2,n,16] h) { h = MatMul(x, w) }",
        {"w": drawn(2, 16, 16)},
        "no matrix",
    ),
    "a small table": (
        "(int64[n] x) => (float[n,16] h) { h = Gather(w, x) }",
        {"w": drawn(16, 16)},
        "too small",
    ),
    "a small LSTM": (
        "(float[t,1,8] x) => (float[1,1,4] h) { y, h = LSTM<hidden_size=4>(x, w, r) }",
        {"w": drawn(1, 16, 8), "r": drawn(1, 16, 4)},
        "too small",
    ),
    "batch first": (
        "(float[1,t,8] x) => (float[1,1,16] h) { y, h = LSTM<hidden_size=16, layout=1>(x, w, r) }",
        {"w": drawn(1, 64, 8), "r": drawn(1, 64, 16)},
        "batch-first",
    ),
    "a branch": (
        "(bool x, float[4,32] z) => (float[4,32] h) { h = If(x) <then_branch = t () => "
        "(float[4,32] a) { a = MatMul(z, w) }, else_branch = e () => (float[4,32] b) "
        "{ b = Identity(z) }> }",
        {"w": drawn(32, 32)},
        "graphs of its own",
    ),
}


@pytest.mark.parametrize("kind", KEPT)
def test_what_gains_nothing_stays_float_and_says_why(save: Save, kind: str) -> None:
    text, weights, why = KEPT[kind]
    alone = save(text, weights=weights)
    with pytest.raises(BadValue, match=why):
        made(alone)
    head, body = text.split("=>", 1)
    outputs, body = body.split(" h) {", 1)
    both = save(
        f"{head.rstrip()[:-1]}, float[n,32] more) => {outputs} h, float[n,32] extra) {{ "
        f"extra = MatMul(more, large) {body}",
        weights={**weights, "large": drawn(32, 32)},
    )
    output, done = made(both)
    assert done.nodes == ("MatMul:extra",)
    assert [reason for reason in done.kept.values() if why in reason]
    before = {n.op_type: n for n in onnx.load(both).graph.node if n.output[-1] == "h"}
    after = {n.op_type: n for n in onnx.load(output).graph.node if n.output[-1] == "h"}
    assert before == after


def test_embedding_gets_a_scale_a_row_and_shares_its_bytes_with_a_tied_head(
    save: Save, run: Run, nodes: Nodes
) -> None:
    table = drawn(2500, 32)
    model = save(
        "(int64[n] ids) => (float[n,32] e, float[n,2500] y) "
        "{ e = Gather(table, ids) t = Transpose<perm=[1,0]>(table) y = MatMul(e, t) }",
        weights={"table": table},
    )
    output, done = made(model, rules=QuantRules(weight_bits=7))
    assert set(done.nodes) == {"Gather:e", "MatMul:y"}
    assert output.stat().st_size < 1.3 * table.size
    ids = {"ids": np.array([0, 7, -1, 2499], np.int64)}
    got = run(output, ids)
    step = np.abs(table).max(axis=1, keepdims=True) / 63 / 2
    assert (np.abs(got["e"] - table[ids["ids"]]) <= step[ids["ids"]] + 1e-6).all()
    assert np.abs(got["y"] - got["e"] @ table.T).max() <= bound(got["e"], table, bits=7)
    np.testing.assert_allclose(unoptimized(output, ids)[1], got["y"], atol=1e-4)


BLOCK = (
    "(float[n,6,32] x) => (float[n,6,32] y) { q = MatMul(x, wq) k = MatMul(x, wk) v = MatMul(x, wv)"
    " kt = Transpose<perm=[0,2,1]>(k) s = MatMul(q, kt) p = Softmax(s) c = MatMul(p, v)"
    " o = MatMul(c, wo) r = Add(x, o) l = LayerNormalization<axis=-1>(r, g, b) f = MatMul(l, w1)"
    " f1 = Add(f, b1) a = Gelu(f1) d = MatMul(a, w2) y = Add(d, l) }"
)
BLOCK_WEIGHTS = {
    **{name: 0.2 * drawn(32, 32, seed=i) for i, name in enumerate(("wq", "wk", "wv", "wo"))},
    "w1": 0.2 * drawn(32, 64),
    "w2": 0.2 * drawn(64, 32),
    "b1": drawn(64),
    "g": 1 + 0.1 * drawn(32),
    "b": drawn(32),
}


def test_attention_block_is_covered_but_for_what_is_computed_on_both_sides(
    save: Save, run: Run
) -> None:
    model = save(BLOCK, weights=BLOCK_WEIGHTS)
    output, done = made(model, rules=QuantRules(weight_bits=7))
    assert done.nodes == ("MatMul:q", "MatMul:k", "MatMul:v", "MatMul:o", "MatMul:f", "MatMul:d")
    assert set(done.kept) == {"MatMul:s", "MatMul:c"}
    feed = {"x": drawn(2, 6, 32)}
    assert cosine(run(output, feed)["y"], run(model, feed)["y"]) > 0.99


def test_product_behind_outliers_takes_its_input_in_blocks(
    save: Save, run: Run, nodes: Nodes
) -> None:
    model = save(
        "(float[n,256] x, float[n,256] z) => (float[n,32] y) "
        "{ a = MatMul(x, w) b = MatMul(z, w) y = Add(a, b) }",
        weights={"w": drawn(256, 32)},
    )
    plain, odd = drawn(4, 256), drawn(4, 256, seed=1)
    odd[:, 200] *= 300
    feed = {"x": plain, "z": odd}
    output, done = made(model, feeds=(feed, feed))
    assert nodes(output).count("MatMulNBits") == nodes(output).count("MatMulInteger") == 1
    assert done.cases == 2
    assert done.recipe.block_size == 128
    assert done.notes[0].endswith("at MatMul:b")
    exact = run(model, feed)["y"]
    in_blocks = np.abs(run(output, feed)["y"] - exact).max()
    blind, done = made(model)
    assert not done.notes
    assert in_blocks < np.abs(run(blind, feed)["y"] - exact).max()


def test_lstm_that_would_lose_small_channels_stays_float(save: Save) -> None:
    model = save(
        "(float[t,n,32] x) => (float[t,d,n,16] y) { y = LSTM<hidden_size=16>(x, w, r) }",
        weights={"w": drawn(1, 64, 32), "r": drawn(1, 64, 16)},
    )
    plain, odd = drawn(5, 2, 32), drawn(5, 2, 32)
    odd[:, :, 7] *= 1000
    _, done = made(model, feeds=({"x": plain},))
    assert done.nodes == ("LSTM:y",)
    with pytest.raises(BadValue, match="would lose its small channels"):
        made(model, feeds=({"x": odd},))


def test_smoothing_that_is_asked_for_moves_outliers_into_the_weights(save: Save, run: Run) -> None:
    model = save(
        "(float[n,64] x) => (float[n,32] y) { l = LayerNormalization<axis=-1>(x, g, b) "
        "y = MatMul(l, w) }",
        weights={
            "g": np.where(np.arange(64) == 9, 60, 1).astype(np.float32),
            "b": drawn(64),
            "w": np.where(np.arange(64)[:, None] == 9, 0.01, 1).astype(np.float32) * drawn(64, 32),
        },
    )
    feed = {"x": drawn(8, 64)}
    exact = run(model, feed)["y"]
    safe = QuantRules(weight_bits=7)
    plain = np.abs(run(made(model, feeds=(feed,), rules=safe)[0], feed)["y"] - exact).max()
    output, done = made(model, feeds=(feed,), rules=safe, smooth=0.8)
    assert done.recipe.smooth == 0.8
    assert done.nodes == ("MatMul:y",)
    assert np.abs(run(output, feed)["y"] - exact).max() < plain
    with pytest.raises(BadValue, match="calibration data"):
        made(model, smooth=0.8)
    assert made(model, feeds=(feed,), smooth=0.0)[1].recipe.smooth is None


def test_nodes_that_are_to_stay_float_do(save: Save, run: Run) -> None:
    model = save(BLOCK, weights=BLOCK_WEIGHTS)
    output, done = made(model, keep=("MatMul:o", "MatMul:d"))
    assert done.kept["MatMul:o"] == done.kept["MatMul:d"] == "asked for"
    assert done.recipe.keep_float == ("MatMul:o", "MatMul:d")
    left = [n for n in onnx.load(output).graph.node if n.output[0] in ("o", "d")]
    assert [n.op_type for n in left] == ["MatMul", "MatMul"]
    with pytest.raises(UnknownName, match="none such"):
        made(model, keep=("none such",))


def test_new_nodes_begin_with_the_name_of_the_one_that_they_stand_for(save: Save) -> None:
    output, _ = made(
        save(
            "(float[n,32] x) => (float[n,16] y) { y = MatMul(x, w) }", weights={"w": drawn(32, 16)}
        )
    )
    names = [node.name for node in onnx.load(output).graph.node]
    assert names[-1] == "MatMul:y"
    assert all(name.startswith("MatMul:y") for name in names)
    assert len(set(names)) == len(names)


def test_weights_of_zeros_give_zeros(save: Save, run: Run) -> None:
    weight = np.zeros((32, 16), np.float32)
    output, _ = made(
        save("(float[n,32] x) => (float[n,16] y) { y = MatMul(x, w) }", weights={"w": weight})
    )
    assert not run(output, {"x": drawn(3, 32)})["y"].any()


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(save: Save, number: float) -> None:
    weight = drawn(32, 16)
    weight[3, 4] = number
    model = save("(float[n,32] x) => (float[n,16] y) { y = MatMul(x, w) }", weights={"w": weight})
    with pytest.raises(ModelFileError, match="w has NaN or infinite"):
        made(model)


def test_old_opset_without_integers_stays_float(save: Save) -> None:
    model = save(
        "(float[n,32] x) => (float[n,16] y) { y = MatMul(x, w) }",
        weights={"w": drawn(32, 16)},
        opset=9,
    )
    with pytest.raises(BadValue, match="opset 9"):
        made(model)


def test_operators_that_the_target_gains_nothing_by_stay(save: Save) -> None:
    model = save(
        "(float[n,32] x) => (float[n,16] y) { h = MatMul(x, v) y = Gemm(h, w) }",
        weights={"v": drawn(32, 32), "w": drawn(32, 16)},
    )
    _, done = made(model, rules=QuantRules(operators=("MatMul",)))
    assert done.nodes == ("MatMul:h",)
    assert done.kept == {"Gemm:y": "this target gains nothing by it"}


def test_model_for_processors_without_vnni_is_proved_safe(save: Save) -> None:
    model = save(BLOCK, weights=BLOCK_WEIGHTS)
    for bits in (7, 8):
        work = Work(
            model=model,
            scratch=model.parent,
            feeds=tuple,
            cases=0,
            target=PORTABLE,
            rules=QuantRules(weight_bits=bits),
        )
        write = scheme.find("int8-dynamic").prepare(work)
        if bits == 7:
            assert write(model.with_name("safe.onnx"), ()).nodes
        else:
            with pytest.raises(ModelFileError, match="16 bits"):
                write(model.with_name("unsafe.onnx"), ())


def test_weight_that_a_branch_reads_too_stays_for_it(save: Save, run: Run) -> None:
    model = save(
        "(bool c, float[4,32] x) => (float[4,32] y, float[4,32] z) { y = MatMul(x, w) "
        "z = If(c) <then_branch = t () => (float[4,32] a) { a = MatMul(x, w) }, "
        "else_branch = e () => (float[4,32] b) { b = Identity(x) }> }",
        weights={"w": drawn(32, 32)},
    )
    output, done = made(model, rules=QuantRules(weight_bits=7))
    assert done.nodes == ("MatMul:y",)
    feed = {"c": np.array(True), "x": drawn(4, 32)}
    exact, got = run(model, feed), run(output, feed)
    assert np.array_equal(got["z"], exact["z"])
    assert np.abs(got["y"] - exact["y"]).max() <= bound(feed["x"], drawn(32, 32).T, bits=7)


def test_weight_that_is_listed_as_an_input_is_none_any_more(save: Save, run: Run) -> None:
    model = save("(float[n,32] x, float[32,16] w) => (float[n,16] y) { y = MatMul(x, w) }")
    loaded = onnx.load(model)
    loaded.graph.initializer.append(onnx.numpy_helper.from_array(drawn(32, 16), "w"))
    loaded.ir_version = 3
    onnx.save(loaded, model)
    output, _ = made(model, rules=QuantRules(weight_bits=7))
    after = onnx.load(output)
    assert [value.name for value in after.graph.input] == ["x"]
    assert after.ir_version >= 4
    assert cosine(run(output, {"x": drawn(2, 32)})["y"], drawn(2, 32) @ drawn(32, 16)) > 0.99


def test_external_data_stays_beside_the_model(save: Save, run: Run) -> None:
    model = save(BLOCK, weights=BLOCK_WEIGHTS)
    feed = {"x": drawn(2, 6, 32)}
    exact = run(made(model)[0], feed)["y"]
    loaded = onnx.load(model)
    onnx.save(loaded, model, save_as_external_data=True, location="weights.data", size_threshold=0)
    output, done = made(model, feeds=(feed,))
    assert done.files
    assert (output.parent / done.files[0]).exists()
    np.testing.assert_allclose(run(output, feed)["y"], exact, atol=1e-5)
    assert not list(output.parent.glob("outlying*"))
