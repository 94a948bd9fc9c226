"""What a target says of processors."""

from __future__ import annotations

import pytest

from edgekit.package.values import Target
from edgekit.providers.targets import adds_up_in_16_bits, described, misfit, vnni_of

VNNI = Target(arch="x86_64", isa=("avx512_vnni",))
PORTABLE = Target(arch="x86_64")
ARM = Target(arch="aarch64")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Target(), "any processor"),
        (PORTABLE, "any x86-64 processor"),
        (VNNI, "x86-64 processors with VNNI"),
        (Target(arch="x86_64", isa=("avx2",)), "x86-64 processors with AVX2"),
        (ARM, "any ARM64 processor"),
        (Target(provider="openvino", arch="x86_64"), "any x86-64 processor, through openvino"),
        (Target(provider="cuda"), "any machine with the provider cuda"),
    ],
)
def test_a_target_is_said_in_words(target: Target, words: str) -> None:
    assert described(target) == words


@pytest.mark.parametrize("isa", [("avx2", "avx512", "avx512_vnni"), ("avx2", "avx_vnni")])
def test_any_vnni_will_do(isa: tuple[str, ...]) -> None:
    assert misfit(VNNI, arch="x86_64", isa=isa) == ""
    assert misfit(PORTABLE, arch="x86_64", isa=isa) == ""


def test_what_a_processor_lacks_is_named() -> None:
    assert misfit(PORTABLE, arch="x86_64", isa=()) == ""
    assert misfit(Target(), arch="riscv64", isa=()) == ""
    lacking = misfit(VNNI, arch="x86_64", isa=("avx2",))
    assert lacking == "it is made for processors with VNNI, which this processor lacks"
    assert "can't be told" in misfit(VNNI, arch="x86_64", isa=())
    assert misfit(ARM, arch="x86_64", isa=("avx2",)) == "it is made for ARM64, and this is x86-64"
    avx = Target(arch="x86_64", isa=("avx2", "amx_int8"))
    assert "AMX" in misfit(avx, arch="x86_64", isa=("avx2", "avx512_vnni"))


def test_where_products_are_added_up_in_16_bits() -> None:
    assert adds_up_in_16_bits(PORTABLE)
    assert adds_up_in_16_bits(Target())
    assert adds_up_in_16_bits(Target(provider="openvino", arch="x86_64"))
    assert not adds_up_in_16_bits(VNNI)
    assert not adds_up_in_16_bits(ARM)
    assert not adds_up_in_16_bits(Target(provider="tensorrt"))


def test_the_set_of_vnni_that_a_processor_has() -> None:
    assert vnni_of(("avx2", "avx_vnni", "avx512_vnni")) == ("avx512_vnni",)
    assert vnni_of(("avx2", "avx_vnni")) == ("avx_vnni",)
    assert vnni_of(("avx2", "asimd")) == ()
