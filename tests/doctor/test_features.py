from __future__ import annotations

import msgspec
import pytest

from edgekit import machine
from edgekit.doctor import features
from edgekit.doctor.report import Finding


def found_on(arch: str, *isa: str) -> dict[str, Finding]:
    described = msgspec.structs.replace(machine.describe(), arch=arch, isa=isa, cpu="Some CPU")
    return {finding.subject: finding for finding in features.examine(described)}


def test_a_processor_without_vnni_is_warned_of_saturation() -> None:
    found = found_on("x86_64", "avx2")
    assert found["VNNI"].severity == "note"
    assert "saturate" in found["VNNI"].says
    assert "reduce_range" in found["VNNI"].mend
    assert found["AVX2"].severity == "ok"


def test_avx512_without_vnni_is_warned_as_well() -> None:
    found = found_on("x86_64", "avx2", "avx512")
    assert found["VNNI"].severity == "note"
    assert found["AVX-512"].severity == "ok"


@pytest.mark.parametrize("isa", ["avx512_vnni", "avx_vnni"])
def test_either_vnni_makes_int8_right(isa: str) -> None:
    found = found_on("x86_64", "avx2", isa)
    assert found["VNNI"].severity == "ok"
    assert "exact" in found["VNNI"].says


def test_amx_is_told_with_what_openvino_would_do() -> None:
    found = found_on("x86_64", "avx2", "avx512", "avx512_vnni", "amx_int8", "amx_bf16")
    assert found["AMX int8"].severity == "ok"
    assert "OpenVINO" in found["AMX bfloat16"].says


@pytest.mark.parametrize(
    ("isa", "subject", "severity"),
    [
        (("asimd",), "dot product", "note"),
        (("asimd", "dotprod"), "dot product", "ok"),
        (("asimd", "dotprod", "i8mm", "bf16"), "i8mm", "ok"),
    ],
)
def test_arm_is_told_what_int8_gains(isa: tuple[str, ...], subject: str, severity: str) -> None:
    found = found_on("aarch64", *isa)
    assert found[subject].severity == severity
    assert ("bfloat16" in found) == ("bf16" in isa)


@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_unknown_instruction_sets_are_said_to_be_unknown(arch: str) -> None:
    (finding,) = found_on(arch).values()
    assert finding.severity == "note"
    assert "Some CPU" in finding.says
