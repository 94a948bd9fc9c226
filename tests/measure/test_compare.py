"""Two models on the same cases: real files, real sessions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgekit.budgets import Budget
from edgekit.errors import BadValue, InputError
from edgekit.measure.compare import Compared, compare
from edgekit.measure.judging import judged_by
from edgekit.measure.same_cases import cases_for, own_metric
from edgekit.measure.sides import named, variant_side
from edgekit.measure.ways import How
from edgekit.package import commit, reading
from edgekit.tensors import Case, Dataset

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

Moved = Callable[..., Path]
TEXT = """<ir_version: 10, opset_import: ["": 20]>
    g (float[batch,4] x) => (%s) { %s }"""
BODY = "h = MatMul(x, W) s = Add(h, b) y = Relu(s)"


@pytest.fixture
def moved(tiny_package: Path, tmp_path: Path) -> Moved:
    """Write the tiny package's model with another body or other outputs, its weights the same."""

    def write(body: str = BODY, outputs: str = "float[batch,3] y", name: str = "moved") -> Path:
        model = onnx.parser.parse_model(TEXT % (outputs, body))
        source = onnx.load(tiny_package / "fp32.onnx")
        model.graph.initializer.extend(source.graph.initializer)
        path = tmp_path / f"{name}.onnx"
        onnx.save(model, path)
        return path

    return write


def compared(a: Any, b: Any, *, eval_data: str | None = None, **given: Any) -> Compared:
    sides = [variant_side(named(str(side)), How()) for side in (a, b)]
    dataset = given.pop("dataset", None) or cases_for(*sides, eval_data=eval_data)
    metric = judged_by(
        dataset,
        sides[0].signature,
        metric=own_metric(*sides),
        budgets=given.get("budgets", ()),
    )
    return compare(*sides, dataset=dataset, metric=metric, **given)


def test_cases_that_repeat_others_are_told(tiny_package: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "twice.npz", x=np.ones((6, 4), np.float32), label=np.zeros(6, int))
    done = compared(tiny_package, tiny_package, eval_data=str(tmp_path / "twice.npz"))
    assert [note[:30] for note in done.notes] == ["only 1 of the 6 cases of twice"]


def test_a_model_beside_itself_differs_in_nothing(tiny_package: Path) -> None:
    steps: list[tuple[int, int]] = []
    done = compared(
        *(tiny_package, f"{tiny_package}:fp32"), progress=lambda *step: steps.append(step)
    )
    assert steps == [(n, 20) for n in range(20)]
    assert (done.a, done.b) == ("tiny · fp32", "tiny · fp32")
    assert (done.metric, done.split, done.cases, done.synthetic) == ("top1", "test", 20, False)
    (found,) = done.outputs.values()
    assert found is not None
    assert (found.max_abs_error, found.sqnr_db) == (0.0, None)
    assert done.accuracy is not None
    assert done.quality.accuracy == done.accuracy
    assert done.quality.changes is not None
    assert (done.quality.changes.harmful, done.quality.changes.helpful) == (0, 0)
    assert (done.verdicts, done.passed) == ((), True)


def test_another_model_is_told_by_its_distance_and_its_changes(
    tiny_package: Path, moved: Moved
) -> None:
    turned = moved("h = MatMul(x, W) s = Add(h, b) r = Relu(s) y = Neg(r)")
    budgets = [Budget("drop", 0.1), Budget("cosine", 0.99), Budget("agreement", 0.0)]
    done = compared(tiny_package, turned, budgets=budgets)
    (found,) = done.outputs.values()
    assert found is not None
    assert found.cosine == pytest.approx(-1)
    assert done.quality.changes is not None
    assert done.quality.changes.harmful > 10
    assert [verdict.ruling for verdict in done.verdicts] == ["failed", "failed", "passed"]
    assert not done.passed
    # The other way round what was lost is won, and the labels are still the package's.
    back = compared(turned, tiny_package, budgets=budgets[:1])
    assert back.quality.changes is not None
    assert back.quality.changes.helpful == done.quality.changes.harmful
    assert back.passed


def test_undecided_passes_only_where_it_is_accepted(tiny_package: Path) -> None:
    given: dict[str, Any] = {"budgets": [Budget("drop", 0.005)]}
    assert not compared(tiny_package, tiny_package, **given).passed
    done = compared(tiny_package, tiny_package, undecided="accept", **given)
    assert done.passed
    assert done.verdicts[0].samples_needed == 598


def test_files_alone_are_compared_on_made_up_values_and_say_so(moved: Moved) -> None:
    done = compared(moved(), moved(name="again"), budgets=[Budget("agreement", 0.5)])
    assert (done.synthetic, done.metric) == (True, "agreement")
    assert done.accuracy is None
    assert "made-up" in done.verdicts[0].sentence
    with pytest.raises(BadValue, match="which needs cases that have labels"):
        compared(moved(), moved(), budgets=[Budget("drop", 0.5)])


def test_reference_cases_stand_in_for_held_out_ones(tiny_package: Path, moved: Moved) -> None:
    package = reading.read(tiny_package)
    graph = msgspec.structs.replace(package.graphs[0], evaluation=None)
    commit.commit(tiny_package, msgspec.structs.replace(package, graphs=(graph,)), {})
    done = compared(moved(), tiny_package)
    assert (done.split, done.cases, done.accuracy) == ("reference", 4, None)
    # Batches of several rows: an agreement over the shares of each.
    assert done.quality.agreement is not None


def test_given_data_take_the_place_of_the_packages_own(tiny_package: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)
    np.savez(tmp_path / "mine.npz", x=x, label=np.zeros(30, np.int64))
    done = compared(tiny_package, tiny_package, eval_data=str(tmp_path / "mine.npz"))
    assert (done.cases, done.split) == (30, "test")
    assert done.accuracy is not None
    assert 0 < done.accuracy.value < 1


def test_answers_of_another_form_are_refused(tiny_package: Path, moved: Moved) -> None:
    with pytest.raises(BadValue, match="whose outputs differ"):
        compared(
            tiny_package, moved(outputs="float[batch,3] s", body="h = MatMul(x, W) s = Add(h, b)")
        )
    with pytest.raises(BadValue, match="whose outputs differ"):
        compared(tiny_package, moved(outputs="float[batch,3] y, float[batch,3] s"))
    # A size that nobody fixed shows in the answer alone.
    narrow = moved(
        "c = Constant <value = bool[3] {1, 0, 1}> () h = MatMul(x, W) s = Add(h, b) "
        "y = Compress <axis = 1> (s, c)",
        "float[batch,n] y",
        "narrow",
    )
    with pytest.raises(InputError, match="answer y in other forms"):
        compared(tiny_package / "fp32.onnx", narrow)


def test_a_random_output_is_compared_by_its_form(noisy_package: Callable[..., Path]) -> None:
    package = noisy_package()
    done = compared(package, package)
    assert done.outputs["noise"] is None
    assert done.outputs["y"] is not None


def test_a_case_that_does_not_fit_is_an_error(tiny_package: Path) -> None:
    bad = Dataset("bad", "test", "0", 1, lambda: iter([Case({"x": np.ones((1, 5), np.float32)})]))
    with pytest.raises(InputError):
        compared(tiny_package, tiny_package, dataset=bad)
