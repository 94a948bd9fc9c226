"""Words for what a variant is made for, and the targets that they name."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgekit import machine, providers
from edgekit.errors import UnknownName
from edgekit.machine import Machine
from edgekit.package.values import Target
from edgekit.quantize.scheme import SchemeInfo, Work
from edgekit.quantize.targets import resolve, words
from edgekit.terms import Scheme


def info(name: Scheme, target: str = "cpu") -> SchemeInfo:
    def prepare(work: Work) -> object:
        raise AssertionError(work)

    return SchemeInfo(
        name=name,
        precision="int8",
        target=target,
        summary="",
        where="",
        prepare=prepare,  # type: ignore[arg-type]
    )


def machine_with(arch: str, *isa: str) -> Machine:
    here = machine.describe(root=Path("/"))
    return msgspec.structs.replace(here, arch=arch, isa=isa)


ZEN4 = machine_with("x86_64", "avx2", "avx512", "avx512_vnni")
ALDER_LAKE = machine_with("x86_64", "avx2", "avx_vnni")
HASWELL = machine_with("x86_64", "avx2")
PHONE = machine_with("aarch64", "asimd", "dotprod")


@pytest.mark.parametrize(
    ("here", "target"),
    [
        (ZEN4, Target(arch="x86_64", isa=("avx512_vnni",))),
        (ALDER_LAKE, Target(arch="x86_64", isa=("avx_vnni",))),
        (HASWELL, Target(arch="x86_64")),
        (PHONE, Target(arch="aarch64")),
    ],
)
def test_the_machine_at_hand_names_what_decides_its_products(here: Machine, target: Target) -> None:
    assert resolve("cpu", info("int8-static"), machine=here) == target
    assert resolve(None, info("int8-dynamic"), machine=here) == target
    # Floats and weights that are turned back first are the same everywhere.
    assert resolve("cpu", info("int4-weight"), machine=here) == Target()
    assert resolve("cpu", info("fp16"), machine=here) == Target()


def test_portable_names_an_architecture_alone() -> None:
    for here in (ZEN4, HASWELL):
        assert resolve("portable", info("int8-static"), machine=here) == Target(arch="x86_64")
    assert resolve("portable", info("int8-static"), machine=PHONE) == Target(arch="aarch64")


def test_other_processors_can_be_built_for() -> None:
    static = info("int8-static")
    assert resolve("x86", static, machine=PHONE) == Target(arch="x86_64")
    assert resolve("x86-vnni", static, machine=PHONE).isa == ("avx512_vnni",)
    assert resolve("arm", static, machine=ZEN4) == Target(arch="aarch64")
    assert resolve("x86-vnni", info("int8-weight")) == Target(arch="x86_64")


def test_other_providers_are_targets() -> None:
    static = info("int8-static")
    assert resolve("tensorrt", static) == Target(
        provider="tensorrt", ep="TensorrtExecutionProvider"
    )
    openvino = resolve("openvino", static, machine=ZEN4)
    assert (openvino.provider, openvino.isa) == ("openvino", ("avx512_vnni",))
    assert resolve(None, info("fp16", "cuda")).ep == "CUDAExecutionProvider"


def test_this_machine_is_described_by_itself() -> None:
    here = machine.describe()
    assert resolve("portable", info("int8-static")) == Target(arch=here.arch)


def test_an_unknown_target_is_answered_with_all_of_them() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'x86-vnni'") as error:
        resolve("x86-vni", info("int8-static"))
    for word in words():
        assert word in str(error.value)
    assert set(providers.names()) < set(words())
