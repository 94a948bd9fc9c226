from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import edgekit
from edgekit.data import synthetic
from edgekit.errors import BadValue, InputError, NotFound
from edgekit.measure import given
from edgekit.measure.adopt import adopt
from edgekit.measure.given import data_notes, given_evaluation
from edgekit.measure.packages import bench_packages, open_subject
from edgekit.measure.plan import Plan
from edgekit.measure.ways import How
from edgekit.package import commit, reading
from edgekit.package.cases import open_cases
from edgekit.package.values import Calibration, Package, Recipe, SessionChoice
from edgekit.tensors import Array, Dim

QUICK = Plan(starts=2, rounds=1, turn_s=0.002, warm_up_s=0.0)
ONE_THREAD = How(SessionChoice(threads=1))
Answer = Callable[[dict[str, Any]], Array]


def write(path: Path, *, seed: int, rows: int = 12, answer: Answer | None = None) -> dict[str, Any]:
    """Write rows for the tiny graph, labelled as it answers where `answer` is given."""
    arrays: dict[str, Any] = {"x": np.random.default_rng(seed).standard_normal((rows, 4))}
    if answer is not None:
        arrays["label"] = answer({"x": arrays["x"].astype(np.float32)}).argmax(1)
    np.savez(path, **arrays)
    return arrays


def recommitted(path: Path, package: Package) -> None:
    contents: dict[str, bytes | Path] = {name: (path / name).read_bytes() for name in package.files}
    commit.commit(path, package, contents)


def test_a_bench_measures_on_the_data_that_are_given(
    tiny_package: Path, tiny_answer: Answer, tmp_path: Path
) -> None:
    wrong = write(tmp_path / "held.npz", seed=9, answer=tiny_answer)
    wrong["label"][:3] = (wrong["label"][:3] + 1) % 3
    np.savez(tmp_path / "held.npz", **wrong)
    subjects = [open_subject(tiny_package)]
    held = str(tmp_path / "held.npz")
    evaluation = given_evaluation(subjects, eval_data=held, calib_data=None)
    done = bench_packages(
        subjects, ONE_THREAD, originals=[], left_out=[], plan=QUICK, evaluation=evaluation
    )
    quality = done.bench.measurements[0].quality
    assert quality is not None
    assert (quality.dataset, quality.cases) == ("cases of held.npz", 12)
    assert quality.accuracy is not None
    assert quality.accuracy.value == pytest.approx(9 / 12)
    assert "quality is measured on the given cases of held.npz" in done.bench.notes


def test_a_plain_model_is_judged_by_labels_where_it_scores_classes(
    tiny_onnx: Callable[[], Path], tiny_answer: Answer, tmp_path: Path
) -> None:
    write(tmp_path / "held.npz", seed=9, answer=tiny_answer)
    subjects = [open_subject(tiny_onnx())]
    for name, metric in (("held", "top1"), ("bare", "closeness")):
        if name == "bare":
            write(tmp_path / "bare.npz", seed=9)
        source = str(tmp_path / f"{name}.npz")
        evaluation = given_evaluation(subjects, eval_data=source, calib_data=None)
        done = bench_packages(
            subjects, ONE_THREAD, originals=[], left_out=[], plan=QUICK, evaluation=evaluation
        )
        assert done.bench.metric == metric
        accuracy = done.rows[0].accuracy
        assert (accuracy.value if accuracy else None) == (1.0 if name == "held" else None)


def test_without_given_data_there_is_nothing_to_open(tiny_package: Path) -> None:
    assert given_evaluation([open_subject(tiny_package)], eval_data=None, calib_data=None) is None


def test_data_that_do_not_fit_are_told_before_the_bench(
    tiny_package: Path, tiny_answer: Answer, tmp_path: Path
) -> None:
    subjects = [open_subject(tiny_package)]
    write(tmp_path / "bare.npz", seed=9)
    with pytest.raises(InputError, match="It has no label, and the model is judged by right"):
        given_evaluation(subjects, eval_data=str(tmp_path / "bare.npz"), calib_data=None)
    with pytest.raises(NotFound, match=r"lost\.npz does not exist"):
        given_evaluation(subjects, eval_data=str(tmp_path / "lost.npz"), calib_data=None)


def test_every_subject_must_take_the_data(
    tiny_package: Path, tiny_answer: Answer, tmp_path: Path
) -> None:
    write(tmp_path / "held.npz", seed=9, answer=tiny_answer)
    first = open_subject(tiny_package)
    spec = first.signature.inputs[0]
    narrow = msgspec.structs.replace(
        first,
        path=Path("other.onnx"),
        package=None,
        signature=msgspec.structs.replace(
            first.signature,
            inputs=(msgspec.structs.replace(spec, shape=(Dim("batch", 2), 4)),),
        ),
    )
    with pytest.raises(InputError, match=r"cases of held\.npz don't fit other\.onnx at case 0"):
        given_evaluation([first, narrow], eval_data=str(tmp_path / "held.npz"), calib_data=None)


def test_what_was_calibrated_with_is_not_measured_on(
    tiny_package: Path, tiny_answer: Answer, tmp_path: Path
) -> None:
    arrays = write(tmp_path / "held.npz", seed=9, answer=tiny_answer)
    # Two of its rows, in a batch of three.
    np.savez(tmp_path / "train.npz", x=np.vstack([arrays["x"][4:6], np.zeros((1, 4))])[None])
    write(tmp_path / "other.npz", seed=10)
    subjects = [open_subject(tiny_package)]
    held, train = str(tmp_path / "held.npz"), str(tmp_path / "train.npz")
    given_evaluation(subjects, eval_data=held, calib_data=str(tmp_path / "other.npz"))
    with pytest.raises(BadValue, match=r"2 of the 12 rows .* are in both, the first in case 4"):
        given_evaluation(subjects, eval_data=held, calib_data=train)


def test_calibration_data_are_held_against_the_package_s_own_cases(
    tiny_package: Path, tmp_path: Path
) -> None:
    package = reading.read(tiny_package)
    assert package.graphs[0].evaluation is not None
    cases = list(open_cases(tiny_package, package, package.graphs[0].evaluation).open())
    np.savez(tmp_path / "train.npz", x=cases[7].feed["x"])
    with pytest.raises(
        BadValue, match="1 of the 20 rows of cases are in both, the first in case 7"
    ):
        given_evaluation(
            [open_subject(tiny_package)], eval_data=None, calib_data=str(tmp_path / "train.npz")
        )


def test_calibration_data_alone_prove_nothing_of_a_model_without_cases(
    tiny_onnx: Callable[[], Path], tmp_path: Path
) -> None:
    write(tmp_path / "train.npz", seed=1)
    with pytest.raises(BadValue, match="which has no evaluation data: expected --eval-data beside"):
        given_evaluation(
            [open_subject(tiny_onnx())], eval_data=None, calib_data=str(tmp_path / "train.npz")
        )


def test_rows_that_a_variant_was_calibrated_with_are_not_measured_on(
    tiny_package: Path, tiny_answer: Answer, tmp_path: Path
) -> None:
    from edgekit.data import open_data, rows_of

    write(tmp_path / "held.npz", seed=9, answer=tiny_answer)
    held = str(tmp_path / "held.npz")
    package = reading.read(tiny_package)
    signature = package.graphs[0].signature
    rows = rows_of(open_data(held, signature, split="test"), signature)[-2:]
    recipe = Recipe("int8-static", calibration=Calibration("train", 2, rows=rows))
    int8 = msgspec.structs.replace(package.variants[0], name="int8", parent="fp32", recipe=recipe)
    recommitted(tiny_package, msgspec.structs.replace(package, variants=(*package.variants, int8)))
    with pytest.raises(BadValue, match=r"what the variant int8 was calibrated with .* case 10"):
        given_evaluation([open_subject(tiny_package)], eval_data=held, calib_data=None)


def test_notes_tell_given_data_without_labels_and_made_up_ones(tiny_package: Path) -> None:
    signature = reading.read(tiny_package).graphs[0].signature
    made_up = synthetic(signature, cases=2, split="test")
    assert data_notes(None, given=False) == []
    assert data_notes(made_up, given=True) == [
        "quality is measured on the given made-up cases, which have no labels",
        "quality is measured on made-up values: real ones may be answered otherwise",
    ]
    assert len(data_notes(made_up, given=False)) == 1
    real = msgspec.structs.replace(made_up, name="draws", synthetic=False, different=1)
    (repeated,) = data_notes(real, given=False)
    assert repeated.startswith("only 1 of the 2 draws differ from each other")


def test_an_adopted_model_keeps_the_data_that_are_given(
    tiny_onnx: Callable[[], Path], tiny_answer: Answer, tmp_path: Path
) -> None:
    held = write(tmp_path / "held.npz", seed=9, answer=tiny_answer)
    write(tmp_path / "train.npz", seed=10)
    output = tmp_path / "out.edgekit"
    package = adopt(
        tiny_onnx(),
        output,
        eval_data=str(tmp_path / "held.npz"),
        calib_data=str(tmp_path / "train.npz"),
    )
    graph = reading.read(output).graphs[0]
    assert package.metric == "top1"
    assert graph.evaluation is not None
    assert graph.calibration is not None
    assert (graph.evaluation.name, graph.evaluation.cases) == ("cases of held.npz", 12)
    assert (graph.calibration.name, graph.calibration.split) == ("cases of train.npz", "train")
    cases = list(open_cases(output, package, graph.evaluation).open())
    assert [case.label for case in cases] == held["label"].tolist()
    for case in cases:
        assert case.outputs is not None
        assert np.allclose(case.outputs["y"], tiny_answer(case.feed), atol=1e-5)
    with edgekit.load(output) as model:
        assert model.check().passed


def test_an_adopted_model_without_labels_is_judged_by_closeness(
    tiny_onnx: Callable[[], Path], tmp_path: Path
) -> None:
    write(tmp_path / "held.npz", seed=9)
    package = adopt(tiny_onnx(), tmp_path / "out.edgekit", eval_data=str(tmp_path / "held.npz"))
    assert package.metric == "closeness"
    assert package.graphs[0].calibration is None


def test_an_adopted_model_keeps_so_many_cases_and_says_so(
    tiny_onnx: Callable[[], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given, "EVALUATION_CASES", 5)
    monkeypatch.setattr(given, "CALIBRATION_BYTES", 3 * 16)
    write(tmp_path / "held.npz", seed=9)
    write(tmp_path / "train.npz", seed=10)
    package = adopt(
        tiny_onnx(),
        tmp_path / "out.edgekit",
        eval_data=str(tmp_path / "held.npz"),
        calib_data=str(tmp_path / "train.npz"),
    )
    graph = package.graphs[0]
    assert graph.evaluation is not None
    assert graph.calibration is not None
    assert (graph.evaluation.cases, graph.calibration.cases) == (5, 3)
    assert {
        "the package keeps the first 5 of 12 evaluation cases",
        "the package keeps the first 3 of 12 calibration cases",
    } <= set(package.provenance.notes)


@pytest.mark.parametrize(
    ("eval_seed", "calib_seed", "error"), [(9, 9, BadValue), (9, None, NotFound)]
)
def test_data_that_an_adopted_model_cannot_keep_leave_nothing_behind(
    eval_seed: int,
    calib_seed: int | None,
    error: type[Exception],
    tiny_onnx: Callable[[], Path],
    tmp_path: Path,
) -> None:
    write(tmp_path / "held.npz", seed=eval_seed)
    if calib_seed is not None:
        write(tmp_path / "train.npz", seed=calib_seed)
    with pytest.raises(error):
        adopt(
            tiny_onnx(),
            tmp_path / "out.edgekit",
            eval_data=str(tmp_path / "held.npz"),
            calib_data=str(tmp_path / "train.npz"),
        )
    assert not [entry for entry in tmp_path.iterdir() if "out.edgekit" in entry.name]
