"""`edgekit optimize`, as it is typed."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.measure.plan import Plan
from edgekit.package import reading
from edgekit.report.documents import OptimizeDocument
from edgekit.terms import Pass, members

pytest.importorskip("onnx_ir", reason="models are rewritten with onnx-ir")

Here = Callable[..., int]
Captured = pytest.CaptureFixture[str]
Document = Callable[[str, str], Any]


@pytest.fixture(autouse=True)
def _little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure little where no plan is given: what is measured decides nothing here."""
    from edgekit.optimize import making

    monkeypatch.setattr(
        making, "Plan", lambda: Plan(starts=2, rounds=1, turn_s=0.005, warm_up_s=0.001)
    )


def test_a_variant_is_made_and_told(tiny_package: Path, here: Here, capsys: Captured) -> None:
    assert here("optimize", tiny_package, "--passes", "constants, ort", "--keep-all") == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0].split()[:2] == ["pass", "nodes"]
    assert re.fullmatch(r"constants +– +– +– +nothing to rewrite", lines[1])
    assert re.fullmatch(r"ort +3 → \d +\S+ +×[\d.]+ \[[\d.,]+, [\d.,]+\] +kept", lines[2])
    assert f"{tiny_package}  optimized, made from fp32 by ort · " in said.out
    assert "Equal on 4 reference cases, timed at batch=1 on " in said.out
    assert f"Next: edgekit bench {tiny_package}" in said.out
    assert "trying ort" in said.err
    assert [v.name for v in reading.read(tiny_package).variants] == ["fp32", "optimized"]


def test_nothing_is_added_where_nothing_pays(
    tiny_package: Path, here: Here, capsys: Captured
) -> None:
    before = reading.identity(tiny_package)
    assert here("optimize", tiny_package, "--passes", "attention,norm-sums") == 0
    assert f"Nothing was added to {tiny_package}: no pass pays here" in capsys.readouterr().out
    assert reading.identity(tiny_package) == before


def test_json_alone_is_printed(
    tiny_package: Path, here: Here, capsys: Captured, document: Document
) -> None:
    options = ("--passes", "constants", "--fix", "batch=1", "--name", "one", "--json")
    assert here("optimize", tiny_package, *options) == 0
    found = document("optimize", capsys.readouterr().out)
    assert isinstance(found, OptimizeDocument)
    assert found.path == str(tiny_package)
    assert found.optimized is not None
    assert found.optimized.variant is not None
    assert found.optimized.variant.sizes == {"batch": 1}
    assert [one.fate for one in found.optimized.tried] == ["kept", "nothing to rewrite"]


def test_the_passes_are_listed_without_a_package(
    here: Here, capsys: Captured, document: Document
) -> None:
    assert here("optimize", "--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["pass", *members(Pass)]
    assert here("optimize", "--list", "--json") == 0
    found = document("optimize", capsys.readouterr().out)
    assert tuple(one.name for one in found.passes) == members(Pass)


def test_a_fixed_variant_is_checked_compared_and_benched_at_its_size(
    tiny_package: Path, here: Here, capsys: Captured, document: Document
) -> None:
    assert here("optimize", tiny_package, "--passes", "ort", "--fix", "batch=2") == 0
    capsys.readouterr()
    assert here("check", tiny_package, "--variant", "optimized") == 0
    assert here("compare", tiny_package, f"{tiny_package}:optimized") == 0
    assert "20" in capsys.readouterr().out
    quick = ("--starts", "2", "--rounds", "1", "--json")
    assert here("bench", tiny_package, *quick) == 0
    at_one = document("bench", capsys.readouterr().out).bench
    assert [m.label for m in at_one.measurements] == ["fp32 · cpu"]
    assert [(left.label, left.reason) for left in at_one.left_out if "optimized" in left.label] == [
        ("optimized · cpu", "it takes batch=2 alone, and this is run at batch=1")
    ]
    assert here("bench", tiny_package, "--batch", "2", *quick) == 0
    at_two = document("bench", capsys.readouterr().out).bench
    assert [m.label for m in at_two.measurements] == ["fp32 · cpu", "optimized · cpu"]
    assert here("bench", tiny_package, "--variant", "optimized", *quick) == 0
    alone = document("bench", capsys.readouterr().out).bench
    assert ([m.label for m in alone.measurements], alone.batch) == (["optimized · cpu"], 2)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "Missing argument 'PACKAGE'"),
        (("tiny.edgekit", "--passes", "orts"), 2, "Did you mean 'ort'?"),
        (("tiny.edgekit", "--fix", "batch"), 2, "batch"),
        (("tiny.edgekit", "--fix", "batch=two"), 2, "expected a whole number"),
        (("tiny.edgekit", "--fix", "rows=2"), 2, "one of the dynamic dimensions: batch"),
        (("tiny.edgekit", "--variant", "fp23"), 2, "Did you mean 'fp32'?"),
        (("missing.edgekit",), 1, "does not exist"),
        (("tiny.onnx",), 2, "edgekit export tiny.onnx"),
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
    before = reading.identity(tiny_package)
    assert here("optimize", *arguments) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
    assert "Traceback" not in shown.err
    assert reading.identity(tiny_package) == before


def test_without_onnx_the_extra_is_named_and_without_torch_nothing(
    tiny_package: Path, edgekit: Any, tmp_path: Path, without_torch: dict[str, str]
) -> None:
    done = edgekit("optimize", tiny_package, "--passes", "constants", env=without_torch)
    assert (done.returncode, "Nothing was added" in done.stdout) == (0, True)
    shim = tmp_path / "no-onnx-ir"
    shim.mkdir()
    (shim / "onnx_ir.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'onnx_ir'\", name='onnx_ir')\n"
    )
    done = edgekit("optimize", tiny_package, env={"PYTHONPATH": str(shim)})
    assert (done.returncode, done.stdout) == (1, "")
    assert "pip install 'edgekit-onnx[build]'" in done.stderr


def test_the_defaults_are_those_of_the_library(
    stated_defaults: Callable[[str], dict[str, str]],
) -> None:
    from edgekit.optimize import optimize

    library = {
        p.name: p.default
        for p in inspect.signature(optimize).parameters.values()
        if p.default is not inspect.Parameter.empty
    }
    stated = stated_defaults("optimize")
    assert (stated.pop("passes"), library["passes"]) == ("all of --list", None)
    assert stated == {
        "name": library["name"],
        "variant": library["variant"],
        "wall_s": f"{library['wall_s']:g}",
    }
