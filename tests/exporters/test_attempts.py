"""The order of the ways, with attempts that are made up: real ones are in test_attempt.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.errors import (
    DimensionLost,
    EdgekitError,
    ExportFailed,
    FactoryFailed,
    NoWayWorked,
    UnrolledLoop,
    VerificationFailed,
    WorkerDied,
    WorkerTimeout,
)
from edgekit.package.values import GraphFacts, Verification
from edgekit.tensors import Signature
from exporters.attempts import STRATEGIES, Run, in_turn
from exporters.requests import Attempt, ExportOptions

Outcome = Callable[[ExportOptions], EdgekitError | None]
FAILED = ExportFailed(target="net", problem="it won't", where="net.py:3", details="a long story")


class Tried(list[tuple[str, bool]]):
    """The attempts that were made: strategy, and whether it might unroll."""

    def run(self, outcome: Outcome) -> Run:
        def run(options: ExportOptions, folder: Path) -> Attempt:
            self.append((options.strategy, options.unrolled))
            (folder / f"{options.strategy}.onnx").write_text("a model")
            error = outcome(options)
            if error is not None:
                raise error
            return Attempt(
                name="net",
                signature=Signature((), ()),
                strategy=options.strategy,
                precision="fp32",
                suffix="",
                facts=GraphFacts(20, 1, 0, {}),
                closeness=(),
                verification=Verification((), 2, "none"),
                weights_sha256="",
                metric="closeness",
                model=f"{options.strategy}.onnx",
                notes=("its own",),
            )

        return run


def test_the_first_way_that_works_is_taken_and_nothing_is_said(tmp_path: Path) -> None:
    tried = Tried()
    done = in_turn(tried.run(lambda o: None), ExportOptions(), tmp_path, label="net")
    assert tried == [("dynamo", False)]
    assert done.notes == ("its own",)
    assert [path.name for path in tmp_path.iterdir()] == ["dynamo.onnx"]


@pytest.mark.parametrize(
    "error",
    [
        FAILED,
        DimensionLost(tensor="x", axis=0, asked="n:1..", got="2"),
        VerificationFailed(output="y", sizes="n=1", problem="off"),
        WorkerDied(what="export of net", how="was ended by signal 11"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_was_given_up_is_said_and_leaves_no_file(error: EdgekitError, tmp_path: Path) -> None:
    tried = Tried()
    done = in_turn(
        tried.run(lambda o: None if o.strategy == "strict" else error),
        ExportOptions(),
        tmp_path,
        label="net",
    )
    assert [way for way, _ in tried] == ["dynamo", "decomposed", "strict"]
    assert done.notes[0].startswith("dynamo, decomposed given up: ")
    assert "Nothing was written" not in done.notes[0]
    assert [path.name for path in tmp_path.iterdir()] == ["strict.onnx"]


@pytest.mark.parametrize(
    "error",
    [
        FactoryFailed(target="net", problem="raised"),
        WorkerTimeout(what="export of net", limit_s=5),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_no_other_way_can_mend_ends_it_at_once(error: EdgekitError, tmp_path: Path) -> None:
    tried = Tried()
    with pytest.raises(type(error)):
        in_turn(tried.run(lambda o: error), ExportOptions(), tmp_path, label="net")
    assert len(tried) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_failure_in_every_way_is_one_paragraph_and_a_report(tmp_path: Path) -> None:
    def outcome(options: ExportOptions) -> EdgekitError:
        if options.strategy == "torchscript":
            return ExportFailed(target="net", problem="frozen", workaround="Thaw it.")
        return FAILED

    with pytest.raises(NoWayWorked) as caught:
        in_turn(Tried().run(outcome), ExportOptions(), tmp_path, label="net")
    said = str(caught.value)
    assert "net could not be exported to ONNX. dynamo: it won't (at net.py:3)." in said
    assert (
        "(decomposed, strict, deferred for the same reason; torchscript: frozen. Thaw it)" in said
    )
    assert "\n" not in said
    report = Path(caught.value.facts["report"]).read_text()
    assert all(f"=== {way}\n" in report for way in STRATEGIES)
    assert "a long story" in report


def test_processes_that_died_in_every_way_are_the_error(tmp_path: Path) -> None:
    died = WorkerDied(what="export of net", how="ended with exit code 7")
    with pytest.raises(WorkerDied, match="exit code 7"):
        in_turn(Tried().run(lambda o: died), ExportOptions(), tmp_path, label="net")


def test_the_one_way_that_was_asked_for_is_tried_alone_and_may_unroll(tmp_path: Path) -> None:
    tried = Tried()
    with pytest.raises(NoWayWorked, match=r"net could not.*strict: it won't"):
        in_turn(
            tried.run(lambda o: FAILED), ExportOptions(), tmp_path, label="net", strategy="strict"
        )
    assert tried == [("strict", True)]


def unrolls(options: ExportOptions) -> EdgekitError | None:
    return None if options.unrolled else UnrolledLoop(target="net", operators=["RNN"])


def test_a_recurrent_module_goes_to_the_way_that_has_its_operator(tmp_path: Path) -> None:
    tried = Tried()
    run = tried.run(lambda o: None if o.strategy == "torchscript" else unrolls(o))
    done = in_turn(run, ExportOptions(), tmp_path, label="net")
    assert tried == [("dynamo", False), ("torchscript", False)]
    assert done.strategy == "torchscript"
    assert "instead of ONNX's operator RNN" in done.notes[0]


def test_a_recurrent_module_is_unrolled_where_its_operator_can_not_be_had(tmp_path: Path) -> None:
    tried = Tried()
    run = tried.run(lambda o: FAILED if o.strategy == "torchscript" else unrolls(o))
    assert in_turn(run, ExportOptions(), tmp_path, label="net").strategy == "dynamo"
    assert tried == [("dynamo", False), ("torchscript", False), ("dynamo", True)]


def test_an_operator_that_no_way_keeps_is_no_reason_to_try_for_ever(tmp_path: Path) -> None:
    tried = Tried()
    run = tried.run(lambda o: FAILED if o.unrolled else unrolls(o))
    with pytest.raises(NoWayWorked):
        in_turn(run, ExportOptions(), tmp_path, label="net")
    assert tried[:2] == [("dynamo", False), ("torchscript", False)]
    assert sorted(tried[2:]) == sorted((way, True) for way in STRATEGIES)
