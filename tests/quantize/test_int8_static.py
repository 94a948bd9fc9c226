"""int8-static from a model and cases to a model of integers, on tiny graphs and the digits' CNN."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.random import default_rng

from edgekit import providers
from edgekit.errors import BadValue
from edgekit.package import reading
from edgekit.package.cases import open_cases
from edgekit.package.values import Calibration, Target
from edgekit.quantize.int8_static import SCHEME, prepare
from edgekit.quantize.saturation import refuse_saturating, saturating
from edgekit.quantize.scheme import Settings, Work
from edgekit.tensors import Feed

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

Save = Callable[..., Path]
Run = Callable[[Path, dict[str, Any]], dict[str, Any]]

VNNI = Target(arch="x86_64", isa=("avx512_vnni",))
PORTABLE = Target(arch="x86_64")

TEXT = """(float[n,3,8,8] x) => (float[n,5] y) {
    a = Conv<pads=[1,1,1,1]>(x, w1, b1) n1 = BatchNormalization(a, g, h, m, v) r = Relu(n1)
    p = GlobalAveragePool(r) f = Flatten(p) y = Gemm(f, w2, b2) }"""


def draw(*shape: int, seed: int = 0) -> Any:
    return default_rng(seed).standard_normal(shape).astype(np.float32)


WEIGHTS = {
    "w1": draw(6, 3, 3, 3),
    "b1": draw(6),
    "g": 1 + draw(6) / 4,
    "h": draw(6, seed=3),
    "m": draw(6, seed=4),
    "v": 1 + draw(6) ** 2,
    "w2": draw(6, 5),
    "b2": draw(5),
}
FEEDS = [{"x": draw(2, 3, 8, 8, seed=seed)} for seed in range(6)]


def cosine(a: Any, b: Any) -> float:
    a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.fixture
def work(tmp_path: Path) -> Callable[..., Work]:
    def make(
        model: Path,
        feeds: list[Feed],
        *,
        target: Target = VNNI,
        settings: Settings | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Work:
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        return Work(
            model=model,
            scratch=scratch,
            feeds=lambda: iter(feeds),
            cases=len(feeds),
            target=target,
            rules=providers.find(target.provider).quant_rules("int8-static", target),
            calibration=Calibration("draws", len(feeds)),
            settings=settings or Settings(),
            wall_s=60,
            progress=progress,
        )

    return make


def test_a_model_is_made_int8_and_says_how(
    save: Save, run: Run, work: Callable[..., Work], tmp_path: Path
) -> None:
    path, output = save(TEXT, weights=WEIGHTS), tmp_path / "int8.onnx"
    steps: list[tuple[int, int]] = []
    asked = work(path, FEEDS, progress=lambda *step: steps.append(step))
    made = prepare(asked)(output, ())
    assert made.nodes == ("Conv:a", "Gemm:y")
    assert (made.kept, made.files, made.cases) == ({}, (), 6)
    recipe = made.recipe
    assert (recipe.scheme, recipe.keep_float, recipe.bias_corrected) == ("int8-static", (), True)
    assert recipe.rules == asked.rules
    assert recipe.calibration == Calibration("draws", 6, method="minmax")
    assert steps
    assert list(asked.scratch.iterdir()) == []
    feed = {"x": draw(3, 3, 8, 8, seed=77)}
    assert cosine(run(output, feed)["y"], run(path, feed)["y"]) > 0.999
    operators = [node.op_type for node in onnx.load(output).graph.node]
    assert "BatchNormalization" not in operators  # it is in the weights


def test_one_measurement_serves_many_choices_of_nodes(
    save: Save, run: Run, work: Callable[..., Work], tmp_path: Path
) -> None:
    path, feed = save(TEXT, weights=WEIGHTS), FEEDS[0]
    write = prepare(work(path, FEEDS))
    every = write(tmp_path / "every.onnx", ())
    one = write(tmp_path / "one.onnx", ("Conv:a",))
    assert one.nodes == ("Gemm:y",)
    assert one.kept == {"Conv:a": "asked for"}
    assert one.recipe.keep_float == ("Conv:a",)
    again = write(tmp_path / "again.onnx", ())
    assert again == every
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "every.onnx").read_bytes()
    exact = run(path, feed)["y"]
    errors = [
        np.abs(run(tmp_path / f"{name}.onnx", feed)["y"] - exact).max() for name in ("one", "every")
    ]
    assert errors[0] < errors[1]
    with pytest.raises(BadValue, match="here none may"):
        write(tmp_path / "none.onnx", ("Conv:a", "Gemm:y"))


@pytest.mark.parametrize(
    ("method", "target"),
    [("percentile", VNNI), ("entropy", PORTABLE), ("minmax", Target(arch="aarch64"))],
)
def test_methods_and_processors_are_served(
    method: Any, target: Target, save: Save, run: Run, work: Callable[..., Work], tmp_path: Path
) -> None:
    path, output = save(TEXT, weights=WEIGHTS), tmp_path / "int8.onnx"
    made = prepare(work(path, FEEDS, target=target, settings=Settings(method=method)))(output, ())
    assert made.recipe.calibration is not None
    assert made.recipe.calibration.method == method
    assert cosine(run(output, FEEDS[0])["y"], run(path, FEEDS[0])["y"]) > 0.99


def test_a_portable_model_can_saturate_nowhere(
    save: Save, work: Callable[..., Work], tmp_path: Path
) -> None:
    path = save(TEXT, weights=WEIGHTS)
    prepare(work(path, FEEDS, target=PORTABLE))(tmp_path / "portable.onnx", ())
    assert saturating(onnx.load(tmp_path / "portable.onnx")) == {}
    prepare(work(path, FEEDS))(tmp_path / "vnni.onnx", ())
    assert set(saturating(onnx.load(tmp_path / "vnni.onnx"))) == {"Conv:a", "Gemm:y"}
    refuse_saturating(tmp_path / "vnni.onnx", VNNI)


OUTLIERS = """(float[n,4,32] x) => (float[n,4,16] y) {
    l = LayerNormalization(x, g) y = MatMul(l, w) z = Relu(l) }"""


def test_outliers_move_into_the_weights(
    save: Save, run: Run, work: Callable[..., Work], tmp_path: Path
) -> None:
    """Two channels are 60 times the others, whose weights carry what matters."""
    gains, weight = np.ones(32, np.float32), draw(32, 16)
    gains[[3, 17]] = 60
    weight[[3, 17]] /= 60
    path = save(OUTLIERS, weights={"g": gains, "w": weight})
    feeds = [{"x": draw(4, 4, 32, seed=seed)} for seed in range(4)]
    feed, found = {"x": draw(4, 4, 32, seed=50)}, {}
    for smooth in (0.0, None):
        output = tmp_path / f"{smooth}.onnx"
        made = prepare(work(path, feeds, settings=Settings(smooth=smooth)))(output, ())
        assert made.nodes == ("MatMul:y",)
        assert (made.recipe.smooth is None) == (smooth == 0.0)
        found[smooth] = cosine(run(output, feed)["y"], run(path, feed)["y"])
    assert found[0.0] < 0.99
    assert found[None] > 0.999


def test_values_without_outliers_are_left_alone(
    save: Save, work: Callable[..., Work], tmp_path: Path
) -> None:
    path = save(OUTLIERS, weights={"g": np.ones(32, np.float32), "w": draw(32, 16)})
    feeds = [{"x": draw(4, 4, 32, seed=seed)} for seed in range(4)]
    assert prepare(work(path, feeds))(tmp_path / "int8.onnx", ()).recipe.smooth is None


def test_a_node_that_stays_float_is_not_corrected(
    save: Save, run: Run, work: Callable[..., Work], tmp_path: Path
) -> None:
    """With one node alone in integers, all others answer what they answered."""
    path, feed = save(TEXT.replace("float[n,5] y)", "float[n,5] y, float[n,6] f)")), FEEDS[0]
    model = onnx.load(path)
    for name, array in WEIGHTS.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.save(model, path)
    write = prepare(work(path, FEEDS))
    made = write(tmp_path / "one.onnx", ("Conv:a",))
    assert made.recipe.bias_corrected
    answers = [run(p, feed) for p in (path, tmp_path / "one.onnx")]
    np.testing.assert_allclose(answers[0]["f"], answers[1]["f"], atol=1e-5)
    assert np.abs(answers[0]["y"] - answers[1]["y"]).max() > 1e-5


def test_a_product_without_a_bias_gets_no_node_behind_it(
    save: Save, run: Run, work: Callable[..., Work], tmp_path: Path
) -> None:
    path = save("(float[n,8] x) => (float[n,4] y) { y = MatMul(x, w) }", weights={"w": draw(8, 4)})
    feeds = [{"x": draw(4, 8, seed=seed)} for seed in range(3)]
    made = prepare(work(path, feeds))(tmp_path / "int8.onnx", ())
    assert made.nodes == ("MatMul:y",)
    assert not made.recipe.bias_corrected
    assert "Add" not in [node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node]
    assert cosine(run(tmp_path / "int8.onnx", feeds[0])["y"], run(path, feeds[0])["y"]) > 0.999


def test_bias_correction_can_be_left_out(
    save: Save, work: Callable[..., Work], tmp_path: Path
) -> None:
    asked = work(save(TEXT, weights=WEIGHTS), FEEDS, settings=Settings(bias_correction=False))
    assert not prepare(asked)(tmp_path / "int8.onnx", ()).recipe.bias_corrected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("(float[n,4] x) => (float[n,4] y) { h = Sigmoid(x) y = Mul(h, x) }", "here none may"),
        (
            "(float[t,n,8] x) => (float[t,1,n,6] y) { y = LSTM<hidden_size=6>(x, w, r) }",
            "LSTM has no kernel that Q/DQ reaches",
        ),
    ],
)
def test_a_model_without_products_is_refused_before_anything_is_measured(
    text: str, why: str, save: Save, work: Callable[..., Work]
) -> None:
    weights = {"w": draw(1, 24, 8), "r": draw(1, 24, 6)} if "LSTM" in text else {}

    def feeds() -> Iterator[Feed]:
        raise AssertionError("nothing is to be measured")

    asked = work(save(text, weights=weights), [])
    object.__setattr__(asked, "feeds", feeds)
    with pytest.raises(BadValue, match=why):
        prepare(asked)


def test_only_float32_is_made_int8(save: Save, work: Callable[..., Work], tmp_path: Path) -> None:
    output = tmp_path / "int8.onnx"
    prepare(work(save(TEXT, weights=WEIGHTS), FEEDS))(output, ())
    with pytest.raises(BadValue, match="which is int8: expected float32"):
        prepare(work(output, FEEDS))


def test_weights_beside_the_model_stay_beside_it(
    save: Save, run: Run, work: Callable[..., Work], tmp_path: Path
) -> None:
    weights = {**WEIGHTS, "w2": draw(6, 500), "b2": draw(500)}
    path = save(TEXT.replace("float[n,5]", "float[n,500]"), weights=weights)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    output = tmp_path / "int8.onnx"
    made = prepare(work(path, FEEDS))(output, ())
    (beside,) = made.files
    assert (tmp_path / beside).stat().st_size >= 6 * 500
    assert cosine(run(output, FEEDS[0])["y"], run(path, FEEDS[0])["y"]) > 0.999


def test_the_scheme_needs_data() -> None:
    assert SCHEME.needs_data
    assert SCHEME.target == "cpu"


@pytest.mark.parametrize(("target", "integers"), [(VNNI, 3), (PORTABLE, 4)])
def test_the_cnn_keeps_its_answers(
    target: Target,
    integers: int,
    cnn_package: Path,
    run: Run,
    work: Callable[..., Work],
    tmp_path: Path,
) -> None:
    package = reading.read(cnn_package)
    graph = package.graphs[0]
    assert graph.calibration is not None
    assert graph.evaluation is not None
    opened = open_cases(cnn_package, package, graph.calibration).open()
    feeds = [case.feed for case in opened][:64]
    output = tmp_path / "int8.onnx"
    made = prepare(work(cnn_package / "fp32.onnx", feeds, target=target))(output, ())
    assert len(made.nodes) == integers  # the first is faster in float where that was measured
    held_out = list(open_cases(cnn_package, package, graph.evaluation).open())[:200]
    name = graph.signature.inputs[0].name
    stacked = {name: np.concatenate([np.asarray(case.feed[name]) for case in held_out])}
    ours, floats = (
        next(iter(run(path, stacked).values())) for path in (output, cnn_package / "fp32.onnx")
    )
    assert min(cosine(a, b) for a, b in zip(ours, floats, strict=True)) > 0.999
    assert (ours.argmax(-1) == floats.argmax(-1)).mean() > 0.99


def test_weights_that_are_listed_as_inputs_become_constants(
    save: Callable[..., Path], work: Callable[..., Work], run: Callable[..., Any], tmp_path: Path
) -> None:
    weights = {"w": draw(32, 24), "b": draw(24)}
    model = save(
        "(float[n,32] x) => (float[n,24] y) { h = MatMul(x, w) y = Add(h, b) }",
        weights=weights,
        opset=7,
    )
    old = onnx.load(model)
    old.ir_version = 3
    for name, array in weights.items():
        listed = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, array.shape)
        old.graph.input.append(listed)
    onnx.save(old, model)
    feed = {"x": draw(4, 32, seed=1)}
    output = tmp_path / "int8.onnx"
    made = SCHEME.prepare(work(model, [feed]))(output, ())
    assert made.nodes == ("MatMul:h",)
    written = onnx.load(output)
    onnx.checker.check_model(written, full_check=True)
    assert [value.name for value in written.graph.input] == ["x"]
    assert cosine(run(output, feed)["y"], run(model, feed)["y"]) > 0.999
