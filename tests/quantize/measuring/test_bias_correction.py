"""Mean shifts of rounded nodes, measured beside the float ones and taken back in their biases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import BadValue, ModelFileError, UnknownName

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

from edgekit.quantize.elements import read_typed  # noqa: E402
from edgekit.quantize.measuring.bias_correction import correct, correctable, mean_shifts  # noqa: E402

Save = Callable[..., Path]
Run = Callable[[Path, dict[str, Any]], dict[str, Any]]
Nodes = Callable[[Path], list[str]]

RNG = np.random.default_rng(5)


def uniform(*shape: int) -> Any:
    return RNG.uniform(-1, 1, shape).astype(np.float32)


WEIGHTS = {
    "w": uniform(6, 4),
    "v": uniform(4, 3),
    "k": uniform(4, 3, 3, 3),
    "kt": uniform(3, 2, 3, 3),
    "b": uniform(4),
    "c": uniform(3),
    "b2": uniform(2, 4),
}


def shifts_of(model: Path, twin: Path, feeds: list[Any], *values: str) -> dict[str, Any]:
    scratch = model.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    found = mean_shifts(
        *(model, twin, lambda: iter(feeds)), values=values, scratch=scratch, wall_s=60
    )
    assert list(scratch.iterdir()) == []
    return found


def rounded(weights: dict[str, Any]) -> dict[str, Any]:
    """Round weights to a half: a twin of the float model that is off by a lot."""
    return {name: np.rint(array * 2) / 2 for name, array in weights.items()}


def test_a_shift_is_the_difference_of_the_means_over_all_numbers(save: Save, run: Run) -> None:
    text = "(float[n,3,h,i] x) => (float[n,4,p,q] z) { y = Conv(x, k, b) z = Relu(y) }"
    model = save(text, weights=WEIGHTS)
    twin = save(text, weights=WEIGHTS | rounded({"k": WEIGHTS["k"]}), name="twin")
    rng = np.random.default_rng(0)
    feeds = [
        {"x": rng.uniform(0, 1, (n, 3, size, size + n)).astype(np.float32)}
        for n, size in ((1, 4), (3, 9), (2, 30))
    ]
    found = shifts_of(model, twin, feeds, "y")
    shown = text.replace("(float[n,4,p,q] z)", "(float[n,4,p,q] y)").replace("z = Relu(y)", "")
    floats, others = (
        save(shown, weights=weights, name=name)
        for name, weights in (
            ("a", WEIGHTS),
            ("b", WEIGHTS | rounded({"k": WEIGHTS["k"]})),
        )
    )
    shifts = [run(others, feed)["y"] - run(floats, feed)["y"] for feed in feeds]
    flat = np.concatenate([np.moveaxis(shift, 1, -1).reshape(-1, 4) for shift in shifts])
    np.testing.assert_allclose(found["y"], flat.mean(axis=0), atol=1e-5)


def test_a_shift_is_a_node_s_own_and_not_that_of_the_nodes_before(save: Save) -> None:
    text = "(float[n,6] x) => (float[n,3] z) { h = MatMul(x, w) r = Relu(h) z = MatMul(r, v) }"
    model = save(text, weights=WEIGHTS)
    twin = save(text, weights=WEIGHTS | rounded({"w": WEIGHTS["w"]}), name="twin")
    feeds = [{"x": np.random.default_rng(0).uniform(0, 1, (50, 6)).astype(np.float32)}]
    found = shifts_of(model, twin, feeds, "h", "z")
    x = feeds[0]["x"]
    expected = (x @ (np.rint(WEIGHTS["w"] * 2) / 2 - WEIGHTS["w"])).mean(axis=0)
    np.testing.assert_allclose(found["h"], expected, atol=1e-5)
    # Its weights are the same, and it is fed with the float model's r.
    np.testing.assert_allclose(found["z"], 0, atol=1e-6)


QDQ = (
    "(float[n,6] x) => (float[n,4] z) {{ xq = QuantizeLinear(x, xs, xz) "
    "xd = DequantizeLinear(xq, xs, xz) wd = DequantizeLinear<axis=1>(wq, ws) "
    "y = MatMul(xd, wd) {rest} }}"
)


def test_a_file_with_q_and_dq_is_a_twin(save: Save, run: Run) -> None:
    """What is quantized for real: uint8 activations, int8 weights with a scale a channel."""
    rest = "s = Add(y, b) z = Relu(s)"
    model = save(f"(float[n,6] x) => (float[n,4] z) {{ y = MatMul(x, w) {rest} }}", weights=WEIGHTS)
    steps = np.abs(WEIGHTS["w"]).max(axis=0) / 5  # 11 levels: a rounding that shows
    integers = {
        **WEIGHTS,
        "xs": np.array(1 / 255, np.float32),
        "xz": np.array(0, np.uint8),
        "wq": np.rint(WEIGHTS["w"] / steps).astype(np.int8),
        "ws": steps.astype(np.float32),
    }
    twin = save(QDQ.format(rest=rest), weights=integers, name="twin")
    rng = np.random.default_rng(0)
    feeds = [{"x": rng.uniform(0, 1, (n, 6)).astype(np.float32)} for n in (5, 40, 300)]
    shifts = shifts_of(model, twin, feeds, "y")
    typed = read_typed(model)
    assert correct(typed, shifts) == ("MatMul:y",)
    (b,) = [
        onnx.numpy_helper.to_array(tensor)
        for tensor in typed.graph.initializer
        if tensor.name == "b"
    ]
    repaired = save(QDQ.format(rest=rest), weights={**integers, "b": b}, name="repaired")
    x = rng.uniform(0, 1, (2000, 6)).astype(np.float32)
    exact, before, after = (run(path, {"x": x})["z"] for path in (model, twin, repaired))
    assert np.abs((after - exact).mean(axis=0)).max() < 0.01
    assert np.abs((before - exact).mean(axis=0)).max() > 0.05
    assert np.square(after - exact).mean() < np.square(before - exact).mean()


CORRECTED = {
    "Conv": ("[n,3,8,8]", "[n,4,6,6]", "y = Conv(x, k, b)", False),
    "Conv without a bias": ("[n,3,8,8]", "[n,4,6,6]", "y = Conv(x, k)", False),
    "Conv whose bias is computed": (
        *("[n,3,8,8]", "[n,4,6,6]"),
        "a = ReduceMean(x, axes) e = Expand(a, four) f = Reshape(e, four) y = Conv(x, k, f)",
        True,
    ),
    "ConvTranspose": ("[n,3,8,8]", "[n,2,10,10]", "y = ConvTranspose(x, kt)", False),
    "Gemm": ("[n,6]", "[n,4]", "y = Gemm<beta=0.5>(x, w, b)", False),
    "Gemm without a bias": ("[n,6]", "[n,4]", "y = Gemm(x, w)", False),
    "Gemm whose bias counts for nothing": (
        *("[n,6]", "[n,4]", "y = Gemm<beta=0.0>(x, w, b)"),
        True,
    ),
    "Gemm with a bias for each row": ("[2,6]", "[2,4]", "y = Gemm(x, w, b2)", False),
    "MatMul": ("[n,6]", "[n,4]", "y = MatMul(x, w)", True),
    "MatMul and Add": ("[n,6]", "[n,4]", "m = MatMul(x, w) y = Add(b, m)", False),
    "MatMul and Add of something else": (
        *("[n,6]", "[n,4]", "m = MatMul(x, w) e = Exp(m) y = Add(e, m)"),
        True,
    ),
}


@pytest.mark.parametrize(
    ("goes_in", "comes_out", "text", "added"), CORRECTED.values(), ids=CORRECTED
)
def test_a_shift_is_taken_back_wherever_the_bias_is(
    goes_in: str, comes_out: str, text: str, added: bool, save: Save, run: Run, nodes: Nodes
) -> None:
    weights = {
        **WEIGHTS,
        "axes": np.array([0, 1, 2, 3]),
        "four": np.array([4]),
    }
    model = save(f"(float{goes_in} x) => (float{comes_out} y) {{ {text} }}", weights=weights)
    typed = read_typed(model)
    ((label, value),) = correctable(typed).items()
    channels = int(comes_out.split(",")[1].strip("]"))
    shift = np.arange(1, channels + 1, dtype=np.float32)
    assert correct(typed, {value: shift}) == (label,)
    assert label in correctable(typed)
    path = model.with_name("corrected.onnx")
    onnx.save(typed, path)
    onnx.checker.check_model(path, full_check=True)
    assert len(nodes(path)) == len(nodes(model)) + added
    sizes = [2 if size == "n" else int(size) for size in goes_in.strip("[]").split(",")]
    x = np.random.default_rng(0).normal(size=sizes).astype(np.float32)
    before, after = run(model, {"x": x})["y"], run(path, {"x": x})["y"]
    across = shift.reshape(-1, *[1] * (before.ndim - 2))
    expected = before - across
    if "Exp(m)" in text:
        m = x @ WEIGHTS["w"] - across
        expected = np.exp(m) + m
    np.testing.assert_allclose(after, expected, atol=1e-4)


def test_a_bias_that_two_nodes_share_is_changed_for_one(save: Save, run: Run) -> None:
    model = save(
        "(float[n,6] x) => (float[n,4] y, float[n,4] z) { y = Gemm(x, w, b) z = Gemm(x, w, b) }",
        weights=WEIGHTS,
    )
    typed = read_typed(model)
    correct(typed, {"y": np.ones(4, np.float32)})
    path = model.with_name("corrected.onnx")
    onnx.save(typed, path)
    x = uniform(3, 6)
    before, after = run(model, {"x": x}), run(path, {"x": x})
    np.testing.assert_allclose(after["y"], before["y"] - 1, atol=1e-5)
    np.testing.assert_array_equal(after["z"], before["z"])


def test_no_shift_changes_nothing(save: Save) -> None:
    model = save("(float[n,6] x) => (float[n,4] y) { y = MatMul(x, w) }", weights=WEIGHTS)
    typed = read_typed(model)
    before = typed.SerializeToString()
    assert correct(typed, {"y": np.zeros(4, np.float32), "z": np.ones(4, np.float32)}) == ()
    assert typed.SerializeToString() == before


def test_a_twin_of_a_newer_opset_is_measured(save: Save) -> None:
    text = "(float[n,6] x) => (float[n,4] y) { y = MatMul(x, w) }"
    model = save(text, weights=WEIGHTS, opset=17)
    twin = save(text, weights=rounded({"w": WEIGHTS["w"]}), opset=21, name="twin")
    x = uniform(9, 6)
    expected = (x @ (np.rint(WEIGHTS["w"] * 2) / 2 - WEIGHTS["w"])).mean(axis=0)
    found = shifts_of(model, twin, [{"x": x}], "y")
    np.testing.assert_allclose(found["y"], expected, atol=1e-5)


def test_a_twin_whose_external_data_has_the_other_s_name_keeps_its_own(save: Save) -> None:
    text = "(float[n,6] x) => (float[n,4] y) { y = MatMul(x, w) }"
    paths = []
    for name, weights in (("float", WEIGHTS), ("twin", rounded({"w": WEIGHTS["w"]}))):
        path = save(text, weights=weights, name=name)
        folder = path.parent / name
        folder.mkdir()
        onnx.save(
            *(onnx.load(path), folder / "model.onnx"),
            save_as_external_data=True,
            location="data",
            size_threshold=0,
        )
        paths.append(folder / "model.onnx")
    x = np.ones((1, 6), np.float32)
    found = shifts_of(paths[0], paths[1], [{"x": x}], "y")
    expected = (np.rint(WEIGHTS["w"] * 2) / 2 - WEIGHTS["w"]).sum(axis=0)
    np.testing.assert_allclose(found["y"], expected, atol=1e-5)


def test_a_shift_that_is_no_number_is_none(save: Save) -> None:
    text = "(float[n,2] x) => (float[n,2] y) { l = Log(x) y = MatMul(l, w) }"
    ones = np.array([[1, 0], [0, 1]], np.float32)
    model = save(text, weights={"w": ones})
    twin = save(text, weights={"w": ones * 2}, name="twin")
    found = shifts_of(model, twin, [{"x": np.array([[0, np.e]], np.float32)}], "y")
    assert np.isfinite(found["y"]).all()


def test_what_the_twin_makes_of_other_values_is_left_out(save: Save) -> None:
    model = save("(float[n,6] x) => (float[n,4] y) { y = MatMul(x, w) }", weights=WEIGHTS)
    twin = save("(float[n,6] z) => (float[n,4] y) { y = MatMul(z, w) }", weights=WEIGHTS, name="t")
    assert shifts_of(model, twin, [{"x": uniform(1, 6)}], "y") == {}


def test_values_that_are_not_there_are_refused(save: Save) -> None:
    model = save(
        "(float[n,6] x) => (float[n,4] y) { h = MatMul(x, w) y = Relu(h) }", weights=WEIGHTS
    )
    twin = save("(float[n,6] x) => (float[n,4] y) { y = MatMul(x, w) }", weights=WEIGHTS, name="t")
    with pytest.raises(UnknownName, match="no value that a weighted node makes 'y'"):
        shifts_of(model, twin, [], "y")
    with pytest.raises(UnknownName, match=r"no value 'h' in t\.onnx"):
        shifts_of(model, twin, [], "h")
    with pytest.raises(BadValue, match="feeds cannot be none"):
        shifts_of(model, model, [], "h")


def test_a_twin_that_is_no_model_is_refused(save: Save, tmp_path: Path) -> None:
    model = save("(float[n,6] x) => (float[n,4] y) { y = MatMul(x, w) }", weights=WEIGHTS)
    twin = tmp_path / "twin.onnx"
    twin.write_bytes(b"none")
    with pytest.raises(ModelFileError):
        shifts_of(model, twin, [], "y")
