"""Repair: models are really written, each is looked at, and the answer is in its place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

from edgekit.errors import BadValue  # noqa: E402
from edgekit.package.values import Recipe  # noqa: E402
from edgekit.quantize.scheme import Made  # noqa: E402
from edgekit.quantize.searching.repair import Score, repair  # noqa: E402

NODES = tuple(f"n{index}" for index in range(12))


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    body = " ".join(
        f"[n{index}] v{index} = Relu({f'v{index - 1}' if index else 'x'})" for index in range(12)
    )
    model = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["": 20]> g (float[2] x) => (float[2] v11) {{ {body} }}'
    )
    path = tmp_path / "parent.onnx"
    onnx.save(model, path)
    return path


class Scheme:
    """Writes down in the file which nodes it left in float; two nodes need each other."""

    def __init__(self) -> None:
        self.written: list[tuple[str, ...]] = []

    def __call__(self, output: Path, keep_float: Collection[str]) -> Made:
        self.written.append(tuple(keep_float))
        nodes = tuple(name for name in NODES if name not in keep_float)
        if nodes == ("n11",):
            raise BadValue(what="a model", asked="n11 alone", expected="one with others")
        output.write_text(",".join(sorted(keep_float)))
        beside = output.with_name(f"{output.stem}.{len(keep_float)}.data")
        beside.write_text("")
        return Made(Recipe("int8-static"), (beside.name,), nodes, dict.fromkeys(keep_float, "kept"))


def judge(guilty: set[str]) -> tuple[list[Path], Callable[[Path, Made], Score]]:
    seen: list[Path] = []

    def evaluate(model: Path, made: Made) -> Score:
        seen.append(model)
        if not made.nodes:
            return Score("passed", 1.0)
        kept = set(model.read_text().split(","))
        lost = len(guilty - kept)
        return Score("failed" if lost else "passed", -lost, f"{lost} too many")

    return seen, evaluate


def test_the_guilty_nodes_are_left_in_float_and_the_model_is_in_its_place(
    parent: Path, tmp_path: Path
) -> None:
    scheme, output = Scheme(), tmp_path / "made" / "int8.onnx"
    output.parent.mkdir()
    seen, evaluate = judge({"n3", "n9"})
    asked: list[Sequence[str]] = []

    def suspect(nodes: Sequence[str]) -> Mapping[str, float]:
        asked.append(nodes)
        return {"n9": 5.0, "n3": 4.0, "n1": 0.5}

    done = repair(
        scheme, evaluate, parent=parent, output=output, keep_float=["n0"], suspect=suspect
    )
    assert (done.keep_float, done.passed, done.nodes) == (("n3", "n9"), True, 11)
    assert output.read_text() == "n0,n3,n9"
    assert done.made.kept == dict.fromkeys(("n0", "n3", "n9"), "kept")
    assert done.score == Score("passed", 0.0, "0 too many")
    assert done.evaluations == len(seen) <= 8
    assert seen[:2] == [output, parent]
    assert asked == [NODES[1:]]
    assert all("n0" in kept for kept in scheme.written)
    assert sorted(path.name for path in output.parent.iterdir()) == ["int8.3.data", "int8.onnx"]


def test_a_model_that_passes_is_written_once_and_nothing_is_suspected(
    parent: Path, tmp_path: Path
) -> None:
    scheme = Scheme()
    _, evaluate = judge(set())
    done = repair(scheme, evaluate, parent=parent, output=tmp_path / "a.onnx")
    assert (done.keep_float, done.passed, done.evaluations) == ((), True, 1)
    assert scheme.written == [()]


def test_where_the_float_model_alone_passes_that_is_said(parent: Path, tmp_path: Path) -> None:
    scheme, output = Scheme(), tmp_path / "a.onnx"
    _, evaluate = judge(set(NODES))
    done = repair(scheme, evaluate, parent=parent, output=output)
    assert (done.passed, done.keep_float, done.why) == (False, (), "the float model alone passes")
    assert (output.read_text(), done.made.nodes, done.score.said) == ("", NODES, "12 too many")


def test_where_not_even_the_float_model_passes_that_is_said(parent: Path, tmp_path: Path) -> None:
    scheme = Scheme()
    done = repair(
        scheme,
        lambda _model, _made: Score("undecided", 0.0, "too few cases"),
        parent=parent,
        output=tmp_path / "a.onnx",
    )
    assert (done.passed, done.evaluations) == (False, 2)
    assert done.why == "with every node in float it doesn't pass either"
    assert done.score.said == "too few cases"
    accepted = repair(
        scheme,
        lambda _model, _made: Score("undecided"),
        parent=parent,
        output=tmp_path / "a.onnx",
        undecided="accept",
    )
    assert (accepted.passed, accepted.evaluations) == (True, 1)


def test_a_choice_of_nodes_that_cannot_be_written_counts_as_failed(
    parent: Path, tmp_path: Path
) -> None:
    """With all but one in float this scheme has nothing to do, and the search goes on."""
    _, evaluate = judge(set(NODES[:11]))
    done = repair(Scheme(), evaluate, parent=parent, output=tmp_path / "a.onnx")
    assert not done.passed
    said = [trial.score for trial in done.trials if len(trial.keep_float) == 11]
    assert [score.ruling for score in said] == ["failed"] * len(said)


def test_looks_are_told(parent: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    _, evaluate = judge({"n5"})
    done = repair(
        Scheme(),
        evaluate,
        parent=parent,
        output=tmp_path / "a.onnx",
        limit=10,
        progress=lambda looks, most: steps.append((looks, most)),
    )
    assert steps == [(look, 10) for look in range(done.evaluations)]
