"""Variants enter a package through one door, which measures them beside their parent."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import edgekit
from edgekit import machine
from edgekit.budgets import Budget
from edgekit.errors import (
    BadValue,
    GateFailed,
    HashMismatch,
    ModelFileError,
    StorageError,
    UnknownName,
)
from edgekit.measure.variants import Added, add_variant, target_named
from edgekit.metrics import Closeness
from edgekit.package import commit, reading
from edgekit.package.cases import encode, open_cases
from edgekit.package.values import Recipe
from edgekit.tensors import Case, Dataset

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

Add = Callable[..., Added]
TEXT = """<ir_version: 10, opset_import: ["": 20]>
    g (float[batch,4] x) => (float[batch,3] y) { %s }"""
WEIGHTS = {
    "W": np.linspace(-1.0, 1.0, 12, dtype=np.float32).reshape(4, 3),
    "b": np.array([0.5, -0.25, 0.0], np.float32),
}


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    """Write a model whose body computes y from x, with the tiny package's weights W and b."""
    folder = tmp_path / "scratch"
    folder.mkdir()

    def make(body: str = "h = MatMul(x, W) s = Add(h, b) y = Relu(s)", **weights: Any) -> Path:
        text = body if body.startswith("<") else TEXT % body
        model = onnx.parser.parse_model(text)
        for name, array in {**WEIGHTS, **weights}.items():
            model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        path = folder / "made.onnx"
        onnx.save(model, path)
        return path

    return make


@pytest.fixture
def add(tiny_package: Path) -> Add:
    """Add a model to the tiny package as its variant fp16."""

    def add_one(model: Path, **given: Any) -> Added:
        asked: dict[str, Any] = {
            "name": "fp16",
            "parent": "fp32",
            "precision": "fp16",
            "target": target_named("cuda"),
            "recipe": Recipe("fp16", ("MatMul:h",)),
        }
        return add_variant(tiny_package, model, **{**asked, **given})

    return add_one


def names(path: Path) -> list[str]:
    return [variant.name for variant in reading.read(path).variants]


def test_a_variant_is_measured_and_added(
    tiny_package: Path, made: Callable[..., Path], add: Add
) -> None:
    model = made(
        "h = MatMul(x, W) s = Add(h, b) r = Relu(s) y = Add(r, e)", e=np.array([1e-3], np.float32)
    )
    steps: list[tuple[int, int]] = []
    done = add(model, progress=lambda *step: steps.append(step))
    assert steps == [(n, 24) for n in range(24)]
    assert done.package == reading.read(tiny_package)
    first, variant = done.package.variants
    assert (first.name, variant.name) == ("fp32", "fp16")
    assert variant == done.variant
    assert (variant.parent, variant.precision) == ("fp32", "fp16")
    assert (variant.target.provider, variant.target.ep) == ("cuda", "CUDAExecutionProvider")
    assert variant.recipe == Recipe("fp16", ("MatMul:h",))
    assert variant.facts.operators == {"Add": 2, "MatMul": 1, "Relu": 1}
    assert (tiny_package / variant.model).read_bytes() == model.read_bytes()
    (entry,) = variant.closeness
    assert entry.max_abs_error == pytest.approx(1e-3, rel=1e-3)
    # At least a hundredth of the largest value: so much fp16 may differ between two kernels.
    assert entry.tolerance.absolute > 1e-2
    assert done.closeness["y"].max_abs_error == pytest.approx(1e-3, rel=1e-3)
    assert done.cases == 24
    assert done.notes == ()


def test_quality_is_that_of_the_held_out_cases_for_both(
    made: Callable[..., Path], add: Add
) -> None:
    # Turned over, so that the classes are others; what Relu made 0 stays 0.
    done = add(made("h = MatMul(x, W) s = Add(h, b) r = Relu(s) y = Neg(r)"))
    assert done.quality is not None
    assert done.parent_quality is not None
    for quality in (done.quality, done.parent_quality):
        assert quality.cases == 20
        assert quality.accuracy is not None
        assert quality.agreement is not None
    assert done.parent_quality.accuracy is not None
    assert done.quality.accuracy is not None
    assert done.parent_quality.accuracy.value == 1
    assert done.quality.accuracy.value < 0.5
    assert done.closeness["y"].cosine == pytest.approx(-1)


def test_a_package_without_held_out_cases_has_distances_alone(
    tiny_package: Path, made: Callable[..., Path], add: Add
) -> None:
    package = reading.read(tiny_package)
    graph = msgspec.structs.replace(package.graphs[0], evaluation=None)
    commit.commit(tiny_package, msgspec.structs.replace(package, graphs=(graph,)), {})
    done = add(made())
    assert (done.quality, done.parent_quality, done.cases) == (None, None, 4)
    assert done.closeness == {"y": Closeness(0.0, 0.0, 1.0, None)}


def test_the_variant_passes_its_check_and_is_loaded_by_name(
    tiny_package: Path, made: Callable[..., Path], add: Add
) -> None:
    add(
        made(
            "h = MatMul(x, W) s = Add(h, b) r = Relu(s) y = Add(r, e)",
            e=np.array([1e-3], np.float32),
        )
    )
    with edgekit.load(tiny_package, variant="fp16") as model:
        assert model.check().passed
    with edgekit.load(tiny_package) as model:
        assert model.explain().choice.variant == "fp32"


def test_onnxruntime_opens_the_package_and_takes_the_float_variant(
    tiny_package: Path, made: Callable[..., Path], add: Add
) -> None:
    import onnxruntime as ort

    if not hasattr(ort, "ModelPackageContext"):
        pytest.skip("this onnxruntime has no model packages")
    add(made())
    add(made(), name="fp16-trt", target=target_named("tensorrt"))
    add(made(), name="fp16-cpu", target=target_named("cpu"))
    context = ort.ModelPackageContext(str(tiny_package))
    assert context.get_variant_names("model") == ["fp32", "fp16", "fp16-trt", "fp16-cpu"]
    assert [context.get_variant_ep_name("model", name) for name in names(tiny_package)] == [
        "CPUExecutionProvider",
        "CUDAExecutionProvider",
        "TensorrtExecutionProvider",
        "CPUExecutionProvider",
    ]
    chosen = context.select_component("model", ort.ModelPackageOptions(ort.SessionOptions()))
    assert chosen.get_selected_variant_name() == "fp32"


ADD = """
    import sys
    from pathlib import Path
    from edgekit.measure.variants import add_variant, target_named
    from edgekit.package.values import Recipe
    path, model, name = sys.argv[1:]
    add_variant(
        Path(path), Path(model), name=name, parent="fp32", precision="fp16",
        target=target_named("cuda"), recipe=Recipe("fp16"))
"""


def test_two_processes_that_add_at_once_both_win(
    tiny_package: Path, made: Callable[..., Path]
) -> None:
    model = made()
    adding = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(ADD), tiny_package, model, name],
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    for process in adding:
        assert process.communicate(timeout=90)[1] == ""
        assert process.returncode == 0
    package = reading.read(tiny_package)
    assert names(tiny_package)[0] == "fp32"
    assert sorted(names(tiny_package)) == ["fp32", "one", "two"]
    for file, record in package.files.items():
        reading.open_verified(tiny_package, file, record)
    import onnxruntime as ort

    if hasattr(ort, "ModelPackageContext"):
        context = ort.ModelPackageContext(str(tiny_package))
        assert context.get_variant_names("model") == names(tiny_package)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fp32", "is never replaced: expected another"),
        ("portable", "expected a word that isn't reserved"),
        ("tuned", "expected a word that isn't reserved"),
        ("original", "expected a word that isn't reserved"),
        ("FP32", "with fp32 there already: expected another word"),
        ("../fp16", "expected letters, digits"),
        ("", "expected letters, digits"),
    ],
)
def test_a_name_that_cannot_be_is_refused(
    name: str, said: str, tiny_package: Path, made: Callable[..., Path], add: Add
) -> None:
    before = reading.identity(tiny_package)
    for overwrite in (False, True):
        with pytest.raises(BadValue, match=said):
            add(made(), name=name, overwrite=overwrite)
    assert reading.identity(tiny_package) == before


def test_a_variant_is_replaced_only_when_that_is_asked_for(
    tiny_package: Path, made: Callable[..., Path], add: Add
) -> None:
    add(made())
    add(made(), name="later")
    with pytest.raises(BadValue, match=r"there already: expected another .* or --overwrite"):
        add(made())
    other = made(
        "h = MatMul(x, W) s = Add(h, b) r = Relu(s) y = Add(r, e)", e=np.array([1e-3], np.float32)
    )
    done = add(other, overwrite=True, target=target_named("cpu"))
    assert names(tiny_package) == ["fp32", "fp16", "later"]
    assert done.variant.target.provider == "cpu"
    assert (tiny_package / done.variant.model).read_bytes() == other.read_bytes()
    listed = {path.name for path in tiny_package.glob("*.onnx")}
    assert listed == {variant.model for variant in done.package.variants}


def test_a_variant_that_others_were_made_from_stays(made: Callable[..., Path], add: Add) -> None:
    add(made())
    add(made(), name="child", parent="fp16")
    with pytest.raises(BadValue, match="fp16, from which child was made"):
        add(made(), overwrite=True)


def test_a_parent_that_is_not_there_is_named(made: Callable[..., Path], add: Add) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'fp32'"):
        add(made(), parent="fp23")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("g (float[batch,4] z) => (float[batch,3] y) { h = MatMul(z, W) y = Relu(h) }", "inputs"),
        ("g (float[batch,4] x) => (float[batch,3] z) { h = MatMul(x, W) z = Relu(h) }", "outputs"),
        ("g (float[2,4] x) => (float[2,3] y) { h = MatMul(x, W) y = Relu(h) }", "inputs"),
        (
            "g (float16[batch,4] x) => (float[batch,3] y) "
            "{ c = Cast<to=1>(x) h = MatMul(c, W) y = Relu(h) }",
            "inputs",
        ),
        (
            "g (float[batch,4] x) => (float[batch,3] y, float[batch,3] h) "
            "{ h = MatMul(x, W) y = Relu(h) }",
            "outputs",
        ),
    ],
)
def test_a_changed_signature_is_refused(
    text: str, said: str, tiny_package: Path, made: Callable[..., Path], add: Add
) -> None:
    model = made('<ir_version: 10, opset_import: ["": 20]> ' + text)
    with pytest.raises(ModelFileError, match=f"its {said} are .* and those of the package are"):
        add(model)
    assert names(tiny_package) == ["fp32"]


@pytest.mark.parametrize("body", ["y = Div(r, z)", "n = Neg(r) y = Log(n)"])
def test_infinities_and_nan_are_refused_where_the_parent_is_finite(
    body: str, tiny_package: Path, made: Callable[..., Path], add: Add
) -> None:
    model = made(
        "h = MatMul(x, W) s = Add(h, b) q = Relu(s) r = Add(q, o) " + body,
        z=np.zeros(3, np.float32),
        o=np.ones(3, np.float32),
    )
    with pytest.raises(ModelFileError, match=r"y is NaN or infinite in 3 of 3 elements of case 0"):
        add(model)
    assert names(tiny_package) == ["fp32"]


def test_a_model_that_onnxruntime_refuses_is_not_added(
    tiny_package: Path, made: Callable[..., Path], add: Add
) -> None:
    text = (
        '<ir_version: 10, opset_import: ["": 20, "nobody": 1]> '
        "g (float[batch,4] x) => (float[batch,3] y) { h = nobody.Knows(x) y = MatMul(h, W) }"
    )
    with pytest.raises(ModelFileError, match="Knows"):
        add(made(text))
    broken = made()
    broken.write_bytes(broken.read_bytes()[:50])
    with pytest.raises(ModelFileError):
        add(broken)
    assert names(tiny_package) == ["fp32"]


def test_a_parent_that_changed_meanwhile_is_not_built_upon(
    tiny_package: Path, made: Callable[..., Path], add: Add
) -> None:
    def change(done: int, total: int) -> None:
        if done == 5:
            package = reading.read(tiny_package)
            model = onnx.load(tiny_package / "fp32.onnx")
            model.doc_string = "changed"
            commit.commit(tiny_package, package, {"fp32.onnx": model.SerializeToString()})

    with pytest.raises(StorageError, match="changed fp32 or its cases while fp16 was measured"):
        add(made(), progress=change)
    assert names(tiny_package) == ["fp32"]


def test_a_variant_that_came_meanwhile_stays(
    tiny_package: Path, made: Callable[..., Path], add: Add
) -> None:
    model = made()

    def come(name: str) -> Callable[[int, int], None]:
        def change(done: int, total: int) -> None:
            if done == 5:
                add(model, name=name)

        return change

    add(model, progress=come("quicker"))
    assert names(tiny_package) == ["fp32", "quicker", "fp16"]
    with pytest.raises(BadValue, match="late, which is there already"):
        add(model, name="late", progress=come("late"))


def test_a_parent_that_is_not_what_was_packed_is_refused(
    tiny_package: Path, made: Callable[..., Path], add: Add
) -> None:
    file = tiny_package / "fp32.onnx"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(HashMismatch):
        add(made())


def test_external_data_comes_along(tiny_package: Path, made: Callable[..., Path], add: Add) -> None:
    model = made()
    whole = onnx.load(model)
    onnx.save(whole, model, save_as_external_data=True, location="w.data", size_threshold=0)
    done = add(model)
    assert done.variant.files == ("w.data",)
    with edgekit.load(tiny_package, variant="fp16", verify=True) as loaded:
        assert loaded.check().passed
    # The same name with other content: the model would read the other's weights.
    other = made(W=WEIGHTS["W"] * 2)
    onnx.save(
        onnx.load(other), other, save_as_external_data=True, location="v.data", size_threshold=0
    )
    (other.parent / "v.data").rename(other.parent / "w.data")
    rewritten = onnx.load(other, load_external_data=False)
    for tensor in rewritten.graph.initializer:
        for entry in tensor.external_data:
            entry.value = "w.data" if entry.key == "location" else entry.value
    other.write_bytes(rewritten.SerializeToString())
    with pytest.raises(ModelFileError, match=r"its external data is called w\.data, as another"):
        add(other, name="other")


def test_external_data_that_leads_elsewhere_is_refused(made: Callable[..., Path], add: Add) -> None:
    model = made()
    whole = onnx.load(model)
    onnx.save(whole, model, save_as_external_data=True, location="w.data", size_threshold=0)
    moved = onnx.load(model, load_external_data=False)
    for tensor in moved.graph.initializer:
        for entry in tensor.external_data:
            entry.value = "../w.data" if entry.key == "location" else entry.value
    model.write_bytes(moved.SerializeToString())
    (model.parent / "w.data").rename(model.parents[1] / "w.data")
    with pytest.raises(ModelFileError, match=r"'\.\./w\.data' is not a plain file beside it"):
        add(model)


def test_other_whole_numbers_are_told(made: Callable[..., Path], tmp_path: Path) -> None:
    text = (
        '<ir_version: 10, opset_import: ["": 20]> g (float[batch,4] x) => (int64[batch] y) '
        "{ h = MatMul(x, W) %s y = ArgMax<axis=1, keepdims=0>(s) }"
    )
    from edgekit.measure.adopt import adopt

    path = tmp_path / "ids.edgekit"
    adopt(made(text % "s = Add(h, b)"), path)
    done = add_variant(
        path,
        made(text % "n = Add(h, b) s = Neg(n)"),
        name="turned",
        parent="fp32",
        precision="fp16",
        target=target_named("cpu"),
        recipe=Recipe("fp16"),
    )
    (note,) = done.notes
    assert "y holds whole numbers" in note
    assert "of 6 cases" in note


def test_random_outputs_are_held_to_their_shape_alone(
    noisy_package: Callable[..., Path], tmp_path: Path
) -> None:
    path = noisy_package()
    model = tmp_path / "again.onnx"
    model.write_bytes((path / "fp32.onnx").read_bytes())
    done = add_variant(
        path,
        model,
        name="fp16",
        parent="fp32",
        precision="fp16",
        target=target_named("cuda"),
        recipe=Recipe("fp16"),
    )
    assert done.closeness.keys() == {"y"}
    assert [entry.output for entry in done.variant.closeness] == ["y"]


def test_a_variant_joins_the_graph_of_its_parent(two_graphs: Path, tmp_path: Path) -> None:
    model = tmp_path / "again.onnx"
    model.write_bytes((two_graphs / "fp32-uint8.onnx").read_bytes())
    done = add_variant(
        two_graphs,
        model,
        name="fp16-uint8",
        parent="fp32-uint8",
        precision="fp16",
        target=target_named("cuda"),
        recipe=Recipe("fp16"),
    )
    assert done.variant.graph == "model-uint8"
    assert done.cases == 12
    with edgekit.load(two_graphs, variant="fp16-uint8") as loaded:
        assert loaded.check().passed


def test_a_package_without_any_case_is_refused(
    tiny_package: Path, made: Callable[..., Path], add: Add
) -> None:
    package = reading.read(tiny_package)
    graph = msgspec.structs.replace(package.graphs[0], evaluation=None, reference=None)
    commit.commit(tiny_package, msgspec.structs.replace(package, graphs=(graph,)), {})
    with pytest.raises(BadValue, match="which has no case to measure it on"):
        add(made())


def test_what_was_not_recorded_is_held_against_the_parent(
    tiny_package: Path, made: Callable[..., Path], add: Add
) -> None:
    package = reading.read(tiny_package)
    evaluation = package.graphs[0].evaluation
    assert evaluation is not None
    bare = [
        msgspec.structs.replace(case, outputs=None)
        for case in open_cases(tiny_package, package, evaluation).open()
    ]
    commit.commit(tiny_package, package, {evaluation.file: encode(bare)})
    done = add(made())
    assert done.quality is not None
    assert done.quality.agreement is not None
    assert done.quality.agreement.value == 1


TURNED = "h = MatMul(x, W) s = Add(h, b) r = Relu(s) y = Neg(r)"


def test_what_a_variant_kept_is_stored_with_the_processor_it_was_measured_on(
    tiny_package: Path, made: Callable[..., Path], add: Add
) -> None:
    done = add(made())
    kept = reading.variant_named(reading.read(tiny_package), "fp16").kept
    assert kept == done.variant.kept
    assert kept is not None
    here = machine.describe()
    assert (kept.arch, kept.isa, kept.provider) == (here.arch, here.isa, "cpu")
    assert kept.accuracy_key == machine.accuracy_key(here)
    evaluation = done.package.graphs[0].evaluation
    assert evaluation is not None
    assert (kept.dataset, kept.cases) == ("cases", 20)
    assert kept.content_sha256 == evaluation.content_sha256
    assert (kept.accuracy, kept.drop, kept.agreement) == (1.0, 0.0, 1.0)
    assert kept.cosine == pytest.approx(1)
    # 0.05^(1/20): no more can be known of twenty.
    assert kept.drop_high == pytest.approx(1 - 0.05 ** (1 / 20), rel=1e-3)
    assert kept.agreement_low == pytest.approx(0.05 ** (1 / 20))
    assert (kept.synthetic, kept.stand_in) == (False, False)


def test_a_variant_past_its_budget_is_not_added(
    tiny_package: Path, made: Callable[..., Path], add: Add
) -> None:
    def files() -> dict[str, bytes]:
        return {f.name: f.read_bytes() for f in tiny_package.iterdir() if f.suffix != ".lock"}

    before = files()
    with pytest.raises(GateFailed, match=r"a drop of at most 1 pp is broken: .* was not added to"):
        add(made(TURNED), budgets=[Budget("drop", 0.01)])
    with pytest.raises(GateFailed, match=r"a cosine of at least 0\.9 is broken") as refused:
        add(made(TURNED), budgets=[Budget("drop", 1.0), Budget("cosine", 0.9)])
    assert "a drop" not in str(refused.value)
    assert files() == before


def test_an_undecided_budget_refuses_unless_it_is_accepted(
    tiny_package: Path, made: Callable[..., Path], add: Add
) -> None:
    budget = Budget("drop", 0.005)
    with pytest.raises(GateFailed, match="about 598 samples like these would decide it"):
        add(made(), budgets=[budget])
    assert names(tiny_package) == ["fp32"]
    done = add(made(), budgets=[budget, Budget("drop", 0.2)], undecided="accept")
    assert [verdict.ruling for verdict in done.verdicts] == ["undecided", "passed"]
    assert names(tiny_package) == ["fp32", "fp16"]


def test_a_budget_that_cannot_be_had_is_refused_before_anything_is_run(
    tiny_package: Path, made: Callable[..., Path], add: Add
) -> None:
    package = reading.read(tiny_package)
    graph = msgspec.structs.replace(package.graphs[0], evaluation=None)
    commit.commit(tiny_package, msgspec.structs.replace(package, graphs=(graph,)), {})
    steps: list[tuple[int, int]] = []
    with pytest.raises(BadValue, match=r"--min-agreement 99% or --min-cosine 0\.999"):
        add(made(), budgets=[Budget("drop", 0.1)], progress=lambda *step: steps.append(step))
    assert steps == []


def test_without_held_out_cases_the_reference_cases_are_judged(
    tiny_package: Path, made: Callable[..., Path], add: Add
) -> None:
    package = reading.read(tiny_package)
    graph = msgspec.structs.replace(package.graphs[0], evaluation=None)
    commit.commit(tiny_package, msgspec.structs.replace(package, graphs=(graph,)), {})
    done = add(made(), budgets=[Budget("cosine", 0.9)])
    assert (done.quality, done.judged.cases) == (None, 4)
    assert done.variant.kept is not None
    assert done.variant.kept.cases == 4
    assert done.variant.kept.cosine == pytest.approx(1)


def test_given_cases_take_the_place_of_the_packages_own(
    made: Callable[..., Path], add: Add
) -> None:
    feeds = [np.full((1, 4), value, np.float32) for value in (1.0, -1.0, 2.0)]
    given = Dataset(
        "mine", "test", "f" * 64, 3, lambda: iter([Case({"x": x}) for x in feeds]), synthetic=True
    )
    done = add(made(), evaluation=given, budgets=[Budget("agreement", 0.3)])
    assert done.cases == 4 + 3
    assert (done.judged.dataset, done.judged.synthetic) == ("mine", True)
    kept = done.variant.kept
    assert kept is not None
    assert (kept.dataset, kept.cases, kept.content_sha256) == ("mine", 3, "f" * 64)
    assert kept.synthetic
    # Nobody labelled them, and what the original says of them isn't recorded: the parent does.
    assert (kept.accuracy, kept.agreement) == (None, 1.0)


def test_figures_of_a_stand_in_say_so_and_bf16_runs_as_its_stand_in_alone(
    tmp_path: Path, made: Callable[..., Path], add: Add
) -> None:
    stand_in = tmp_path / "stand-in.onnx"
    stand_in.write_bytes(made().read_bytes())
    # No CPU has kernels for this.
    model = made(
        "a = Cast <to=16> (x) w = Cast <to=16> (W) m = MatMul(a, w) h = Cast <to=1> (m)"
        " s = Add(h, b) y = Relu(s)"
    )
    done = add(model, precision="bf16", stand_in=stand_in)
    assert done.variant.kept is not None
    assert done.variant.kept.stand_in
    assert any("was not run here itself" in note for note in done.notes)
    with pytest.raises(ModelFileError):
        add(model, name="again", precision="bf16")
