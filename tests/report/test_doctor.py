"""What `edgekit doctor` prints."""

from __future__ import annotations

from collections.abc import Callable

from edgekit.doctor.report import Finding, PackageFinding, ProviderFinding, Report
from edgekit.machine import Machine
from edgekit.providers import Diagnosis
from edgekit.report.doctor import examined

TextOf = Callable[..., str]


def report_of(machine: Machine, *, usable: bool) -> Report:
    mend = "Run: pip install 'edgekit-onnx[gpu]'"
    return Report(
        usable=usable,
        summary="AMD EPYC, AVX2",
        python=(Finding("python", "ok", "Python 3.11.7."),),
        packages=(
            PackageFinding("numpy", "2.4.6", "2.0", "", "ok", "For arrays."),
            PackageFinding(
                "torch", None, "2.13", "export", "note", "For exporting.", "never shown"
            ),
        ),
        conflicts=(),
        providers=(
            ProviderFinding(
                "cuda",
                "CUDAExecutionProvider",
                "note",
                Diagnosis(False, "onnxruntime-gpu is not installed", "", "", mend),
            ),
        ),
        machine=machine,
        features=(Finding("AVX2 [x]", "ok", "int8 may saturate."),),
        limits=(Finding("memory", "problem", "There is none.", "Buy some."),),
    )


def test_everything_is_shown_with_what_to_do(machine: Machine, text_of: TextOf) -> None:
    text = text_of(examined, report_of(machine, usable=True))
    lines = [line.rstrip() for line in text.splitlines()]
    assert lines[0] == "AMD EPYC, AVX2"
    assert "ok  numpy 2.4.6  For arrays." in lines
    assert "not installed, with the extra that brings each: torch [export]" in text
    assert "never shown" not in text
    assert "note  cuda (CUDAExecutionProvider)  onnxruntime-gpu is not installed" in lines
    assert "→ Run: pip install 'edgekit-onnx[gpu]'" in text
    assert "ok  AVX2 [x]  int8 may saturate." in lines
    assert "problem  memory  There is none." in lines
    assert "→ Buy some." in text
    assert "Conflicts" not in text
    assert lines[-1] == "Models can run here."


def test_a_machine_that_cannot_run_models_is_told_so(machine: Machine, text_of: TextOf) -> None:
    text = text_of(examined, report_of(machine, usable=False))
    assert text.rstrip().endswith("Models can't run here yet: see what is marked problem above.")


def test_it_reads_on_eighty_columns(machine: Machine, text_of: TextOf) -> None:
    text = text_of(examined, report_of(machine, usable=True), width=80)
    assert max(map(len, text.splitlines())) <= 80
