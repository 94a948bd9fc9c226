"""`edgekit explain`: the table, the JSON, the defaults, and what is refused."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.measure.roofline.peaks import keep_peaks
from edgekit.measure.roofline.rates import MachinePeaks
from edgekit.measure.ways import How
from edgekit.package.values import SessionChoice
from edgekit.report.documents import ExplainDocument

pytest.importorskip("onnx", reason="explanations read the graph")

Here = Callable[..., int]
Captured = pytest.CaptureFixture[str]
Document = Callable[[str, str], Any]


@pytest.fixture(autouse=True)
def _peaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have peaks that needn't be measured, and time briefly."""
    from edgekit.measure.plan import Plan
    from edgekit.measure.slowness import explaining

    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    keep_peaks(
        How(SessionChoice(threads=1)),
        MachinePeaks("cpu", 1, 1e4, 4e4, {1 << 18: 1e4, 1 << 27: 1e3}, "made up"),
    )
    quick = Plan(starts=2, rounds=1, turn_s=0.01, warm_up_s=0.01)
    monkeypatch.setattr(explaining, "float_gflops_now", lambda how, *, wall_s: 1e4)
    defaults = explaining.explain.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "plan", quick)


def test_the_table_tells_of_limits_and_nodes(
    tiny_package: Path, here: Here, capsys: Captured
) -> None:
    assert here("explain", tiny_package, "--threads", "1", "--top", "1") == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0].startswith("tiny · ")
    assert lines[0].endswith(" · cpu, 1 thread · batch 1")
    assert "of the limit" in lines[1]
    assert "float32 10,000 GFLOP/s, int8 40,000 GOP/s, 10,000 GB/s at the model's " in said.out
    assert "Measured: made up." in said.out
    assert re.search(r"^node +operator +of +µs +GOP/s", said.out, re.MULTILINE)
    assert "profiling fp32 · cpu" in said.err


def test_json_alone_is_printed(
    tiny_package: Path, here: Here, capsys: Captured, document: Document
) -> None:
    assert here("explain", tiny_package, "--threads", "1", "--json") == 0
    found = document("explain", capsys.readouterr().out)
    assert isinstance(found, ExplainDocument)
    assert found.path == str(tiny_package)
    (one,) = found.explained.variants
    assert (one.variant, one.parent, one.reasons) == ("fp32", None, ())
    # Two additions and multiplications for each of 4 · 3 weights; a bias and a Relu for each of 3.
    assert 2 * 12 <= one.limit.operations <= 2 * 12 + 6


def test_a_file_is_explained_against_another(
    tiny_onnx: Callable[..., Path], here: Here, capsys: Captured
) -> None:
    one, other = tiny_onnx("one"), tiny_onnx("other", opset=21)
    assert here("explain", other, "--parent", one, "--threads", "1", "--variant", "other") == 0
    said = capsys.readouterr().out
    assert "against its parent" in said
    assert " of one" in said


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "Missing argument 'PACKAGE'"),
        (("missing.edgekit",), 1, "does not exist"),
        (("tiny.edgekit", "--variant", "fp23"), 2, "Did you mean 'fp32'?"),
        (("tiny.edgekit", "--provider", "cudda"), 2, "Did you mean 'cuda'?"),
        (("tiny.edgekit", "--parent", "tiny.onnx"), 2, "is a package"),
        (("tiny.edgekit", "--top", "0"), 2, "--top"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    arguments: tuple[str, ...],
    code: int,
    said: str,
    tiny_package: Path,
    here: Here,
    capsys: Captured,
) -> None:
    assert tiny_package.exists()
    assert here("explain", *arguments) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
    assert "Traceback" not in shown.err


def test_the_defaults_are_those_of_the_library(
    stated_defaults: Callable[[str], dict[str, str]],
) -> None:
    from edgekit.report.explain import explained

    stated = stated_defaults("explain")
    assert stated["top"] == str(inspect.signature(explained).parameters["top"].default)
    assert (stated["provider"], stated["idle"]) == (SessionChoice().provider, SessionChoice().idle)
