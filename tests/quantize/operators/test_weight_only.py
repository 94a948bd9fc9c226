"""int8 and int4 weights: every kind of node, held to what rounding its weights may cost it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.errors import BadValue, ModelFileError, UnknownName
from edgekit.package.values import QuantRules
from edgekit.quantize import scheme
from edgekit.quantize.scheme import Made, Settings, Work

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

Save = Callable[..., Path]
Run = Callable[[Path, dict[str, Any]], dict[str, Any]]
Nodes = Callable[[Path], list[str]]
SCHEMES = {"int8-weight": 8, "int4-weight": 4}
both = pytest.mark.parametrize("name", SCHEMES)


def drawn(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def made(
    model: Path,
    name: str,
    *,
    keep: tuple[str, ...] = (),
    block_size: int | None = None,
    operators: tuple[str, ...] = (),
) -> tuple[Path, Made]:
    work = Work(
        model=model,
        scratch=model.parent,
        feeds=tuple,
        cases=0,
        rules=QuantRules(operators=operators),
        settings=Settings(block_size=block_size),
    )
    output = model.with_name(f"{name}.onnx")
    return output, scheme.find(name).prepare(work)(output, keep)


def unoptimized(path: Path, feed: dict[str, Any]) -> list[Any]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return list(session.run(None, feed))


def bound(x: Any, rows: Any, *, bits: int, size: int) -> float:
    """How far a product may be off, by Cauchy and Schwarz over each block.

    A block's weights are off by no more than √size steps together, and what goes in, where a kernel
    rounds it to 8 bits, by half a step each.
    """
    depth = rows.shape[1]
    total = np.zeros((x.reshape(-1, depth).shape[0], len(rows)))
    for start in range(0, depth, size):
        part, ins = rows[:, start : start + size], x.reshape(-1, depth)[:, start : start + size]
        span = np.maximum(part.max(axis=1), 0) - np.minimum(part.min(axis=1), 0)
        step = np.abs(part).max(axis=1) / 127 if bits == 8 else span / 15
        ours = np.linalg.norm(ins, axis=1)[:, None] * np.sqrt(size) * step
        theirs = np.abs(ins).max(axis=1)[:, None] / 127 * (np.abs(part).sum(axis=1) + size * step)
        total += ours + theirs
    return float(total.max(initial=0)) * 1.01 + 1e-5


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(sorted(SCHEMES)),
    batch=st.lists(st.integers(1, 3), max_size=3),
    depth=st.integers(16, 90),
    columns=st.integers(16, 40),
    block_size=st.sampled_from([None, 16, 32, 64]),
    seed=st.integers(0, 99),
)
def test_matmul_of_any_shape_answers_within_what_rounding_costs(
    save: Save,
    run: Run,
    name: str,
    batch: list[int],
    depth: int,
    columns: int,
    block_size: int | None,
    seed: int,
) -> None:
    weight, x = drawn(depth, columns, seed=seed), drawn(*batch, depth, seed=seed)
    sizes = "".join(f"d{i}," for i in range(len(batch)))
    model = save(
        f"(float[{sizes}{depth}] x) => (float[{sizes}{columns}] y) {{ y = MatMul(x, w) }}",
        weights={"w": weight},
    )
    output, _ = made(model, name, block_size=block_size)
    got = run(output, {"x": x})["y"]
    assert got.shape == (*batch, columns)
    size = min(block_size or {8: 128, 4: 32}[SCHEMES[name]], 128)
    error = np.abs(got - x @ weight).max()
    assert error <= bound(x, weight.T, bits=SCHEMES[name], size=size)
    np.testing.assert_allclose(unoptimized(output, {"x": x})[0], got, atol=1e-3)


@both
@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", [False, True])
def test_gemm_in_every_form_answers_within_what_rounding_costs(
    save: Save, run: Run, nodes: Nodes, name: str, turned: int, transposed: int, bias: bool
) -> None:
    x, weight = drawn(24, 5) if turned else drawn(5, 24), drawn(24, 20)
    weights = {"w": weight.T.copy() if transposed else weight, "b": drawn(20)}
    sizes = "24,5" if turned else "5,24"
    model = save(
        f"(float[{sizes}] x) => (float[5,20] y) {{ y = Gemm<transA={turned}, transB={transposed}, "
        f"alpha=-0.5, beta=3.0>(x, w{', b' if bias else ''}) }}",
        weights=weights,
    )
    output, done = made(model, name)
    assert done.nodes == ("Gemm:y",)
    assert "MatMulNBits" in nodes(output)
    ins = x.T if turned else x
    exact = -0.5 * (ins @ weight) + (3 * weights["b"] if bias else 0)
    got = run(output, {"x": x})["y"]
    assert np.abs(got - exact).max() <= bound(ins, 0.5 * weight.T, bits=SCHEMES[name], size=32)


STORED: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "Conv": (
        "(float[1,16,6,6] x) => (float[1,24,4,4] y) { y = Conv(x, w) }",
        {"w": drawn(24, 16, 3, 3)},
        {"x": drawn(1, 16, 6, 6)},
    ),
    "ConvTranspose": (
        "(float[1,16,4,4] x) => (float[1,24,6,6] y) { y = ConvTranspose(x, w) }",
        {"w": drawn(16, 24, 3, 3)},
        {"x": drawn(1, 16, 4, 4)},
    ),
    "LSTM": (
        "(float[t,2,20] x) => (float[t,2,2,24] y) "
        '{ y = LSTM<hidden_size=24, direction="bidirectional">(x, w, r) }',
        {"w": 0.3 * drawn(2, 96, 20), "r": 0.3 * drawn(2, 96, 24)},
        {"x": drawn(4, 2, 20)},
    ),
    "GRU": (
        "(float[t,2,20] x) => (float[t,1,2,24] y) { y = GRU<hidden_size=24>(x, w, r) }",
        {"w": 0.3 * drawn(1, 72, 20), "r": 0.3 * drawn(1, 72, 24)},
        {"x": drawn(4, 2, 20)},
    ),
    "RNN": (
        "(float[t,2,48] x) => (float[t,1,2,32] y) { y = RNN<hidden_size=32>(x, w, r) }",
        {"w": 0.3 * drawn(1, 32, 48), "r": 0.3 * drawn(1, 32, 32)},
        {"x": drawn(4, 2, 48)},
    ),
    "several matrices": (
        "(float[3,n,32] x) => (float[3,n,32] y) { y = MatMul(x, w) }",
        {"w": drawn(3, 32, 32)},
        {"x": drawn(3, 2, 32)},
    ),
    "a matrix on the left": (
        "(float[64,n] x) => (float[32,n] y) { y = MatMul(w, x) }",
        {"w": drawn(32, 64)},
        {"x": drawn(64, 3)},
    ),
    "one column": (
        "(float[n,2048] x) => (float[n,1] y) { y = MatMul(x, w) }",
        {"w": drawn(2048, 1)},
        {"x": drawn(3, 2048)},
    ),
    "Einsum": (
        '(float[n,32] x) => (float[n,48] y) { y = Einsum<equation="nk,mk->nm">(x, w) }',
        {"w": drawn(48, 32)},
        {"x": drawn(3, 32)},
    ),
}


@pytest.mark.parametrize("kind", STORED)
def test_weights_without_a_kernel_have_8_bits_in_the_file(save: Save, run: Run, kind: str) -> None:
    text, weights, feed = STORED[kind]
    model = save(text, weights=weights)
    output, done = made(model, "int8-weight")
    assert len(done.nodes) == 1
    assert "8 bits in the file" in done.notes[0]
    assert output.stat().st_size < 0.55 * model.stat().st_size
    exact, got = run(model, feed)["y"], run(output, feed)["y"]
    assert np.linalg.norm(got - exact) < 0.02 * np.linalg.norm(exact)
    np.testing.assert_allclose(unoptimized(output, feed)[0], got, atol=1e-4)
    with pytest.raises(BadValue, match="use int8-weight"):
        made(model, "int4-weight")


def test_such_weights_are_spelled_out_when_the_model_is_loaded(save: Save, tmp_path: Path) -> None:
    import onnxruntime as ort

    text, weights, _ = STORED["Conv"]
    output, _ = made(save(text, weights=weights), "int8-weight")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    ort.InferenceSession(output, options, providers=["CPUExecutionProvider"])
    assert [n.op_type for n in onnx.load(tmp_path / "loaded.onnx").graph.node] == ["Conv"]


def test_nodes_that_share_a_weight_share_what_is_spelled_out(save: Save, nodes: Nodes) -> None:
    model = save(
        "(float[1,16,6,6] x, float[1,16,6,6] z) => (float[1,24,4,4] y) "
        "{ a = Conv(x, w) b = Conv(z, w) y = Add(a, b) }",
        weights={"w": drawn(24, 16, 3, 3)},
    )
    output, done = made(model, "int8-weight")
    assert done.nodes == ("Conv:a", "Conv:b")
    assert nodes(output) == ["Cast", "Mul", "Conv", "Conv", "Add"]


@both
@pytest.mark.parametrize("ids", ["n", "n,m", ""])
@pytest.mark.parametrize("width", [64, 40, 33])
def test_embedding_takes_its_rows_out_of_blocks(
    save: Save, run: Run, name: str, ids: str, width: int
) -> None:
    table = drawn(2500, width)
    sizes = f"{ids},{width}" if ids else str(width)
    form = f"int64[{ids}] i" if ids else "int64[] i"
    model = save(
        f"({form}) => (float[{sizes}] y) {{ y = Gather(table, i) }}", weights={"table": table}
    )
    if name == "int4-weight" and width % 2:
        with pytest.raises(BadValue, match="use int8-weight"):
            made(model, name)
        return
    output, done = made(model, name)
    assert done.nodes == ("Gather:y",)
    shape = tuple(2 for _ in filter(None, ids.split(",")))
    asked = np.random.default_rng(0).integers(-2500, 2500, shape)
    got = run(output, {"i": asked})["y"]
    assert got.shape == (*shape, width)
    bits = SCHEMES[name]
    step = np.abs(table[asked]).max() * (1 / 127 if bits == 8 else 2 / 15)
    assert np.abs(got - table[asked]).max() <= (1 if bits == 8 else 3) * step
    np.testing.assert_allclose(unoptimized(output, {"i": asked})[0], got, atol=1e-6)


@both
@pytest.mark.parametrize("how", ["transposed", "copied", "Gemm"])
def test_tied_head_shares_the_bytes_of_the_table(save: Save, run: Run, name: str, how: str) -> None:
    table = drawn(2000, 64)
    head = {
        "transposed": "t = Transpose<perm=[1,0]>(table) y = MatMul(e, t)",
        "copied": "y = MatMul(e, other)",
        "Gemm": "y = Gemm<transB=1>(e, table)",
    }[how]
    model = save(
        f"(int64[n] i) => (float[n,64] e, float[n,2000] y) {{ e = Gather(table, i) {head} }}",
        weights={"table": table, **({"other": table.T.copy()} if how == "copied" else {})},
    )
    output, done = made(model, name)
    assert set(done.nodes) == {"Gather:e", "Gemm:y" if how == "Gemm" else "MatMul:y"}
    packed = [t for t in onnx.load(output).graph.initializer if len(t.raw_data) > 60_000]
    assert len(packed) == 1
    got = run(output, {"i": np.array([3, -1, 77])})
    error = np.abs(got["y"] - got["e"] @ table.T).max()
    assert error <= bound(got["e"], table, bits=SCHEMES[name], size=64)


@both
def test_tied_head_that_stays_float_takes_no_table_of_its_own(save: Save, name: str) -> None:
    table = drawn(2000, 64)
    model = save(
        "(int64[n] i) => (float[n,2000] y) { e = Gather(table, i) "
        "t = Transpose<perm=[1,0]>(table) y = MatMul(e, t) }",
        weights={"table": table},
    )
    output, done = made(model, name, keep=("MatMul:y",))
    assert done.nodes == ("Gather:e",)
    assert output.stat().st_size < 1.5 * model.stat().st_size


@both
def test_providers_without_a_kernel_get_plain_operators(
    save: Save, nodes: Nodes, name: str
) -> None:
    model = save(
        "(int64[n] i) => (float[n,32] y) { e = Gather(table, i) h = MatMul(e, w) y = Gemm(h, w) }",
        weights={"table": drawn(2500, 32), "w": drawn(32, 32)},
    )
    output, done = made(model, name, operators=("MatMul",))
    assert done.nodes == ("Gather:e", "MatMul:h", "Gemm:y")
    assert nodes(output) == [
        "Gather",
        "Gather",
        "Cast",
        "Mul",
        "MatMulNBits",
        "Cast",
        "Mul",
        "Gemm",
    ]


@both
def test_nodes_that_are_to_stay_float_do(save: Save, nodes: Nodes, name: str) -> None:
    model = save(
        "(float[n,32] x) => (float[n,32] y) { a = MatMul(x, w) b = Relu(a) y = MatMul(b, w) }",
        weights={"w": drawn(32, 32)},
    )
    output, done = made(model, name, keep=("MatMul:y",))
    assert nodes(output) == ["MatMulNBits", "Relu", "MatMul"]
    assert done.kept == {"MatMul:y": "asked for"}
    assert done.recipe.keep_float == ("MatMul:y",)
    assert done.recipe.block_size == {8: 128, 4: 32}[SCHEMES[name]]
    with pytest.raises(UnknownName, match="none such"):
        made(model, name, keep=("none such",))
    with pytest.raises(BadValue, match="asked for"):
        made(model, name, keep=("MatMul:a", "MatMul:y"))


@both
@pytest.mark.parametrize("size", [8, 24, 0, -16])
def test_block_size_that_no_kernel_takes_is_refused(save: Save, name: str, size: int) -> None:
    model = save(
        "(float[n,32] x) => (float[n,16] y) { y = MatMul(x, w) }", weights={"w": drawn(32, 16)}
    )
    with pytest.raises(BadValue, match="power of two from 16"):
        made(model, name, block_size=size)


@both
def test_weights_that_are_no_numbers_are_refused(save: Save, name: str) -> None:
    weight = drawn(32, 16)
    weight[0, 0] = np.nan
    model = save("(float[n,32] x) => (float[n,16] y) { y = MatMul(x, w) }", weights={"w": weight})
    with pytest.raises(ModelFileError, match="w has NaN or infinite"):
        made(model, name)


@both
def test_external_data_stays_beside_the_model(save: Save, run: Run, name: str) -> None:
    model = save(
        "(float[n,64] x) => (float[n,64] y) { y = MatMul(x, w) }", weights={"w": drawn(64, 64)}
    )
    feed = {"x": drawn(3, 64)}
    exact = run(made(model, name)[0], feed)["y"]
    onnx.save(
        onnx.load(model), model, save_as_external_data=True, location="w.data", size_threshold=0
    )
    output, done = made(model, name)
    assert len(done.files) == 1
    np.testing.assert_allclose(run(output, feed)["y"], exact, atol=1e-6)
