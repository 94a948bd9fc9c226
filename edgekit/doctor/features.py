"""What the processor's instruction sets mean for a model: a sentence each."""

from __future__ import annotations

from edgekit.doctor.report import Finding
from edgekit.machine import Machine

_CHECK = "Run 'edgekit check' on every int8 package used here."


def examine(machine: Machine) -> tuple[Finding, ...]:
    """Say what this processor does to a model's speed and numbers."""
    if not machine.isa:
        says = f"The instruction sets of {machine.cpu} can't be told here."
        return (Finding("instruction sets", "note", says, _CHECK),)
    if machine.arch == "x86_64":
        return (_vectors(machine), _int8_x86(machine), *_bfloat16_x86(machine))
    return (_int8_arm(machine), *_bfloat16_arm(machine))


def _vectors(machine: Machine) -> Finding:
    if "avx512" in machine.isa:
        return Finding("AVX-512", "ok", "float32 runs sixteen numbers at a time.")
    return Finding("AVX2", "ok", "float32 runs eight numbers at a time.")


def _int8_x86(machine: Machine) -> Finding:
    if "amx_int8" in machine.isa:
        return Finding("AMX int8", "ok", "int8 is exact and fastest: products add up in 32 bits.")
    if {"avx512_vnni", "avx_vnni"} & set(machine.isa):
        return Finding("VNNI", "ok", "int8 is exact and fast: products add up in 32 bits.")
    return Finding(
        "VNNI",
        "note",
        "Missing: products of uint8 and int8 saturate at 16 bits, so that an int8 model answers "
        "less exactly than on a processor with VNNI, and gains less speed.",
        f"Use 7-bit weights (reduce_range) for this processor. {_CHECK}",
    )


def _bfloat16_x86(machine: Machine) -> list[Finding]:
    if "amx_bf16" in machine.isa:
        says = (
            "bfloat16 is several times faster than float32; OpenVINO would use it for a float32 "
            "model by itself, and edgekit tells it not to."
        )
        return [Finding("AMX bfloat16", "ok", says)]
    if "avx512_bf16" in machine.isa:
        says = (
            "bfloat16 products are there for those who ask; OpenVINO would use them for a float32 "
            "model by itself, and edgekit tells it not to."
        )
        return [Finding("AVX-512 bfloat16", "ok", says)]
    return []


def _int8_arm(machine: Machine) -> Finding:
    if "i8mm" in machine.isa:
        return Finding("i8mm", "ok", "int8 is exact and fastest: whole matrices at a time.")
    if "dotprod" in machine.isa:
        return Finding("dot product", "ok", "int8 is exact and fast: products add up in 32 bits.")
    says = "Missing: int8 gains little over float32."
    return Finding("dot product", "note", says, "Measure with 'edgekit bench' before using int8.")


def _bfloat16_arm(machine: Machine) -> list[Finding]:
    if "bf16" in machine.isa:
        return [Finding("bfloat16", "ok", "bfloat16 products are there for those who ask.")]
    return []
