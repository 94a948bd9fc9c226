"""`edgekit check`, `inspect` and `doctor`: what they say of right and of broken packages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.package import cases, commit, reading
from edgekit.report.documents import CheckDocument
from edgekit.tensors import Array, Case

Here = Callable[..., int]
Captured = pytest.CaptureFixture[str]
Document = Callable[[str, str], Any]


def record_again(package: Path, change: Callable[[Array], Array]) -> None:
    """Record other answers than the model gives, with the hashes in order."""
    packed = reading.read(package)
    assert packed.graphs[0].reference is not None
    kept = [
        Case(case.feed, {"y": change((case.outputs or {})["y"])})
        for case in cases.open_cases(package, packed, packed.graphs[0].reference).open()
    ]
    commit.commit(package, packed, {packed.graphs[0].reference.file: cases.encode(kept)})


def test_a_right_package_passes(tiny_package: Path, here: Here, capsys: Captured) -> None:
    assert here("check", tiny_package) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].startswith("tiny · fp32 · cpu · ")
    assert "Right on this machine: 4 of 4 passed." in out


@pytest.mark.parametrize(
    "change",
    [lambda y: y + 1, lambda y: np.full_like(y, np.nan), lambda y: np.full_like(y, np.inf)],
    ids=["moved", "nan", "inf"],
)
def test_a_package_that_is_off_exits_with_three(
    change: Callable[[Array], Array],
    tiny_package: Path,
    here: Here,
    capsys: Captured,
    document: Document,
) -> None:
    record_again(tiny_package, change)
    assert here("check", tiny_package) == 3
    out = capsys.readouterr().out
    assert "Off on this machine: 4 of 4 answers lie further from the original's" in out
    assert "Case 0, y: 3 of 3 elements are out of tolerance" in out
    assert here("check", tiny_package, "--json") == 3
    found = document("check", capsys.readouterr().out)
    assert isinstance(found, CheckDocument)
    assert not found.passed
    (report,) = found.checks
    assert {row.status for row in report.rows} == {"failed"}


def test_check_prints_json_alone(
    tiny_package: Path, here: Here, capsys: Captured, document: Document
) -> None:
    assert here("check", tiny_package, "--json", "--threads", "1", "--idle", "sleep") == 0
    found = document("check", capsys.readouterr().out)
    assert found.passed
    assert [len(report.rows) for report in found.checks] == [4]


def test_every_variant_is_checked_on_the_cases_of_its_graph(
    two_graphs: Path, here: Here, capsys: Captured, document: Document
) -> None:
    assert here("check", two_graphs) == 0
    out = capsys.readouterr().out
    assert "tiny · fp32 · cpu · " in out
    assert "Right on this machine: 4 of 4 passed." in out
    assert "tiny · fp32-uint8 · cpu · " in out
    assert "Right on this machine: 2 of 2 passed." in out
    assert here("check", two_graphs, "--variant", "fp32-uint8", "--json") == 0
    found = document("check", capsys.readouterr().out)
    assert [(r.variant, len(r.rows)) for r in found.checks] == [("fp32-uint8", 2)]


def test_one_variant_that_is_off_is_enough(
    two_graphs: Path, here: Here, capsys: Captured, document: Document
) -> None:
    record_again(two_graphs, lambda y: y + 1)  # those of the first graph
    assert here("check", two_graphs, "--json") == 3
    found = document("check", capsys.readouterr().out)
    assert (found.passed, [report.passed for report in found.checks]) == (False, [False, True])
    assert here("check", two_graphs, "--variant", "fp32-uint8") == 0


def test_a_random_output_is_checked_by_its_shape(
    noisy_package: Callable[..., Path], here: Here, capsys: Captured, document: Document
) -> None:
    path = noisy_package()
    assert here("check", path) == 0
    assert "passed (random, compared by shape)" in capsys.readouterr().out
    assert here("check", path, "--json") == 0
    rows = document("check", capsys.readouterr().out).checks[0].rows
    assert {(row.output, row.max_abs_error, row.note) for row in rows} == {
        ("y", 0.0, ""),
        ("noise", None, "random, compared by shape"),
    }


def test_a_file_that_was_changed_is_named(tiny_package: Path, here: Here, capsys: Captured) -> None:
    model = tiny_package / "fp32.onnx"
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    for command in ("check", "bench"):
        assert here(command, tiny_package) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert "Error: fp32.onnx in " in said.err
        assert "is not the file that was packed" in said.err


def test_a_changed_manifest_is_no_package(tiny_package: Path, here: Here, capsys: Captured) -> None:
    manifest = tiny_package / "manifest.json"
    manifest.write_text(manifest.read_text()[:-40])
    for command in ("check", "bench", "inspect"):
        assert here(command, tiny_package) == 1
        assert "is not a model package that can be trusted" in capsys.readouterr().err


@pytest.mark.parametrize(
    "cut",
    [lambda b: b[: len(b) // 2], lambda b: b"\x00\xff" * 64, lambda b: b""],
    ids=["truncated", "corrupt", "empty"],
)
@pytest.mark.parametrize("command", ["check", "bench", "inspect", "export"])
def test_a_broken_onnx_file_is_named(
    command: str, cut: Callable[[bytes], bytes], tiny_onnx: Any, here: Here, capsys: Captured
) -> None:
    path = tiny_onnx()
    path.write_bytes(cut(path.read_bytes()))
    assert here(command, path.name) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    assert said.err.splitlines()[-1].startswith("Error: ")
    assert f"{path.name} cannot be used as an ONNX model" in said.err
    assert list(path.parent.glob("*.edgekit")) == []
    assert list(path.parent.glob(".*partial*")) == []


@pytest.mark.parametrize("command", ["check", "bench"])
@pytest.mark.parametrize(
    ("provider", "code", "said"),
    [
        ("cdua", 2, "Did you mean 'cuda'?"),
        ("cuda", 1, "pip install 'edgekit-onnx[gpu]'"),
        ("tensorrt", 1, "pip install 'edgekit-onnx[tensorrt]'"),
    ],
)
def test_a_provider_that_is_not_there_is_an_error_with_the_mend(
    command: str,
    provider: str,
    code: int,
    said: str,
    tiny_package: Path,
    here: Here,
    capsys: Captured,
) -> None:
    from edgekit import providers

    if code == 1 and providers.find(provider).diagnose().usable:
        pytest.skip(f"{provider} can be used here")
    assert here(command, tiny_package, "--provider", provider) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err


def test_an_unknown_variant_names_those_that_are_there(
    tiny_package: Path, here: Here, capsys: Captured
) -> None:
    assert here("check", tiny_package, "--variant", "fp23") == 2
    assert "Did you mean 'fp32'?" in capsys.readouterr().err


def test_inspect_shows_a_package(
    tiny_package: Path, here: Here, capsys: Captured, document: Document
) -> None:
    assert here("inspect", tiny_package) == 0
    out = capsys.readouterr().out
    assert "in   x: float32 [batch, 4]  (batch:1..8)" in out
    assert "In the package: 4 reference cases, 20 held-out cases" in out
    assert "Nothing was measured of it yet: edgekit bench" in out
    assert here("inspect", tiny_package, "--json") == 0
    found = document("inspect", capsys.readouterr().out).inspection
    assert found.kind == "model package"
    assert found.variants[0].facts.operators == {"Add": 1, "MatMul": 1, "Relu": 1}


def test_inspect_shows_a_plain_file(
    tiny_onnx: Any, here: Here, capsys: Captured, document: Document
) -> None:
    path = tiny_onnx(second_input=True)
    assert here("inspect", path.name) == 0
    out = capsys.readouterr().out
    assert "plain .onnx file" in out
    assert "Operators of tiny: 2 Add, 1 MatMul, 1 Relu" in out
    assert "measured" not in out
    assert here("inspect", path.name, "--json") == 0
    assert document("inspect", capsys.readouterr().out).inspection.provenance is None


def test_doctor_says_that_models_can_run_here(
    here: Here, capsys: Captured, document: Document
) -> None:
    assert here("doctor") == 0
    out = capsys.readouterr().out
    assert "Execution providers" in out
    assert out.rstrip().endswith("Models can run here.")
    assert here("doctor", "--json") == 0
    assert document("doctor", capsys.readouterr().out).usable


def test_doctor_without_a_runtime_says_what_to_install(edgekit: Any, tmp_path: Path) -> None:
    shim = tmp_path / "no-onnxruntime"
    shim.mkdir()
    (shim / "onnxruntime.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'onnxruntime'\", name='onnxruntime')\n"
    )
    done = edgekit("doctor", env={"PYTHONPATH": str(shim)})
    assert done.returncode == 1
    assert done.stderr == ""
    assert "Models can't run here yet" in done.stdout
    assert "edgekit-onnx[cpu]" in done.stdout
