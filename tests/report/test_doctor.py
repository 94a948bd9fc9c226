"""What `edgekit doctor` prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from edgekit.doctor.report import Finding, PackageFinding, ProviderFinding, Report
from edgekit.machine import Machine
from edgekit.providers import Diagnosis
from edgekit.report.doctor import examined

TextOf = Callable[..., str]
NO_GPU = "no NVIDIA GPU can be seen from here"
DRIVER = "Use another provider; or install the driver."


def row(name: str, *, cause: str = "", mend: str = "", **facts: Any) -> ProviderFinding:
    found = "" if cause else f"{name} in onnxruntime 1.32.0"
    diagnosis = Diagnosis(not cause, cause, found, "some hardware" if cause else "", mend)
    if also := facts.pop("also", ()):
        diagnosis = msgspec.structs.replace(diagnosis, also=also)
    given = {"extra": name, "needs": (f"package-of-{name}",), "tried": True, **facts}
    severity = given.pop("severity", "note" if cause else "ok")
    return ProviderFinding(name, f"{name.upper()}ExecutionProvider", severity, diagnosis, **given)


def report_of(machine: Machine, *rows: ProviderFinding, usable: bool = True) -> Report:
    return Report(
        usable=usable,
        summary="AMD EPYC, AVX2",
        python=(Finding("python", "ok", "Python 3.11.7."),),
        packages=(
            PackageFinding("numpy", "2.4.6", "2.0", "", "ok", "For arrays."),
            PackageFinding("click", "8.3", "8.2", "", "ok", "For the command line."),
            PackageFinding("onnx", "1.0", "1.22", "build", "problem", "It is too old.", "Renew."),
            PackageFinding(
                "torch", None, "2.13", "export", "note", "For exporting.", "never shown"
            ),
        ),
        conflicts=(),
        providers=rows
        or (row("cuda", cause=NO_GPU, mend=DRIVER, also=("libcuda.so.1 cannot be found",)),),
        machine=machine,
        features=(Finding("AVX2 [x]", "ok", "int8 may saturate."),),
        limits=(Finding("memory", "problem", "There is none.", "Buy some."),),
        nvidia=(Finding("TensorRT", "note", "libnvinfer.so.10 is needed, and none is found."),),
    )


def lines_of(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def test_everything_is_shown_with_what_to_do(machine: Machine, text_of: TextOf) -> None:
    text = text_of(examined, report_of(machine))
    lines = lines_of(text)
    assert lines[0] == "AMD EPYC, AVX2"
    assert any(line.split() == ["ok", "numpy", "2.4.6,", "click", "8.3"] for line in lines)
    assert "problem  onnx 1.0  It is too old." in lines
    assert "→ Renew." in text
    assert "not installed, with the extra that brings each: torch [export]" in text
    assert "never shown" not in text
    assert f"note  cuda  {NO_GPU}." in lines
    assert f"→ {DRIVER}" in text
    assert "also: libcuda.so.1 cannot be found." in text
    assert "note  TensorRT  libnvinfer.so.10 is needed, and none is found." in lines
    assert "ok  AVX2 [x]  int8 may saturate." in lines
    assert "problem  memory  There is none." in lines
    assert "→ Buy some." in text
    assert "Conflicts" not in text
    assert lines[-1] == "Models can run here."


def test_one_cause_of_several_providers_is_told_once(machine: Machine, text_of: TextOf) -> None:
    rows = [
        row(name, cause=NO_GPU, mend=f"{DRIVER} Then run: pip install {name}", also=("more",))
        for name in ("cuda", "tensorrt", "tensorrt-rtx")
    ]
    text = text_of(examined, report_of(machine, *rows))
    assert text.count(NO_GPU) == 1
    assert f"note  cuda, tensorrt, tensorrt-rtx  {NO_GPU}." in lines_of(text)
    assert f"→ {DRIVER} edgekit doctor --provider cuda says what else is missing." in text
    assert "pip install" not in text


def test_one_way_to_mend_several_is_told_whole(machine: Machine, text_of: TextOf) -> None:
    rows = [row(name, cause=NO_GPU, mend=DRIVER) for name in ("cuda", "tensorrt")]
    text = text_of(examined, report_of(machine, *rows))
    assert f"→ {DRIVER}\n" in "\n".join(lines_of(text))
    rows = [row(name, cause=NO_GPU, mend=f"Run: {name}") for name in ("cuda", "tensorrt")]
    assert "→ edgekit doctor --provider cuda says what" in text_of(
        examined, report_of(machine, *rows)
    )


def test_providers_of_other_systems_share_a_line(machine: Machine, text_of: TextOf) -> None:
    rows = [
        row("cpu"),
        row("coreml", cause="this build has none", mend="Use another.", needs=()),
        row("qnn", cause="not installed", mend="Run: pip install q", extra="", tried=False),
        row("webgpu", tried=False),
    ]
    text = text_of(examined, report_of(machine, *rows))
    assert "not here, and in no extra of edgekit's: coreml, qnn;" in text
    assert "this build has none" not in text
    assert "cpu     cpu in onnxruntime 1.32.0\n" in "\n".join(lines_of(text))
    assert "webgpu in onnxruntime 1.32.0; edgekit has run no model on it" in text


def test_a_cpu_that_cannot_be_used_is_never_hidden(machine: Machine, text_of: TextOf) -> None:
    cpu = row("cpu", cause="it is broken", mend="Run: pip", needs=(), severity="problem")
    assert "problem  cpu  it is broken." in lines_of(text_of(examined, report_of(machine, cpu)))


def test_a_machine_that_cannot_run_models_is_told_so(machine: Machine, text_of: TextOf) -> None:
    text = text_of(examined, report_of(machine, usable=False))
    assert text.rstrip().endswith("Models can't run here yet: see what is marked problem above.")


def test_one_provider_is_told_with_all_its_causes(machine: Machine, text_of: TextOf) -> None:
    report = msgspec.structs.replace(
        report_of(machine, usable=False), provider="cuda", python=(), features=(), limits=()
    )
    text = text_of(examined, report)
    lines = lines_of(text)
    assert lines[0] == "cuda (CUDAExecutionProvider)"
    assert f"problem  cause   {NO_GPU}." in lines
    assert "problem  also    libcuda.so.1 cannot be found." in lines
    assert "note     needed  some hardware" in lines
    assert "TensorRT" in text
    assert "Limits" not in text
    assert lines[-1] == "cuda can't be used here: see the cause above."


@pytest.mark.parametrize("tried", [True, False])
def test_one_provider_that_can_be_used(tried: bool, machine: Machine, text_of: TextOf) -> None:
    report = report_of(machine, row("webgpu", tried=tried))
    text = text_of(examined, msgspec.structs.replace(report, provider="webgpu"))
    last = lines_of(text)[-1]
    assert last.startswith("webgpu can be used here.")
    assert ("run no model on it" in last) == (not tried)


@pytest.mark.parametrize("provider", ["", "cuda"])
def test_it_reads_on_eighty_columns(provider: str, machine: Machine, text_of: TextOf) -> None:
    report = msgspec.structs.replace(report_of(machine), provider=provider)
    assert max(map(len, text_of(examined, report, width=80).splitlines())) <= 80
