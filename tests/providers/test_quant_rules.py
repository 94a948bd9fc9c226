"""What each provider says of fewer bits."""

from __future__ import annotations

import pytest

from edgekit import providers
from edgekit.errors import BadValue
from edgekit.package.values import Target
from edgekit.terms import Scheme, members


def target(provider: str, **facts: object) -> Target:
    return Target(provider=provider, ep=providers.find(provider).ort_name, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize("provider", providers.names())
@pytest.mark.parametrize("scheme", members(Scheme))
def test_every_provider_has_rules_or_a_reason(provider: str, scheme: Scheme) -> None:
    info = providers.find(provider)
    said = info.quantized(scheme, target(provider))
    if isinstance(said, str):
        assert len(said) > 15
        assert not said.endswith(".")
        with pytest.raises(BadValue, match=provider):
            info.quant_rules(scheme, target(provider))
        return
    assert info.quant_rules(scheme, target(provider)) == said
    assert said.per_channel
    assert not (said.symmetric and said.activation == "uint8")
    assert said.operators or scheme in ("fp16", "bf16")
    assert len(set(said.operators)) == len(said.operators)
    if scheme == "int8-static":
        assert "int8" in info.precisions
    if scheme == "bf16":
        assert "bfloat16" in info.precisions


def test_processors_differ_in_the_bits_of_weights() -> None:
    cpu = providers.find("cpu")
    for scheme in ("int8-static", "int8-dynamic"):
        vnni = cpu.quant_rules(scheme, Target(arch="x86_64", isa=("avx512_vnni",)))
        older = cpu.quant_rules(scheme, Target(arch="x86_64", isa=("avx2",)))
        portable = cpu.quant_rules(scheme, Target(arch="x86_64"))
        arm = cpu.quant_rules(scheme, Target(arch="aarch64"))
        bits = [rules.weight_bits for rules in (vnni, older, portable, arm)]
        assert bits == [8, 7, 7, 8]
        assert (vnni.activation, vnni.symmetric) == ("uint8", False)
    assert cpu.quant_rules("int8-static", Target(arch="aarch64")).activation == "int8"
    assert cpu.quant_rules("int8-dynamic", Target(arch="aarch64")).activation == "uint8"


def test_dynamic_integers_leave_convolutions_alone() -> None:
    rules = providers.find("cpu").quant_rules("int8-dynamic", Target())
    assert "Conv" not in rules.operators
    assert {"LSTM", "MatMul"} <= set(rules.operators)


@pytest.mark.parametrize("provider", ["tensorrt", "tensorrt-rtx"])
def test_tensorrt_takes_zero_point_0_alone(provider: str) -> None:
    rules = providers.find(provider).quant_rules("int8-static", target(provider))
    assert (rules.activation, rules.symmetric, rules.weight_bits) == ("int8", True, 8)


def test_cuda_has_no_int8_convolution() -> None:
    with pytest.raises(BadValue, match="no int8 convolution") as error:
        providers.find("cuda").quant_rules("int8-static", target("cuda"))
    assert "int4-weight" in str(error.value)


def test_openvino_follows_the_processor() -> None:
    info = providers.find("openvino")
    older = target("openvino", arch="x86_64")
    newer = target("openvino", arch="x86_64", isa=("avx512_vnni",))
    assert info.quant_rules("int8-static", older).weight_bits == 7
    assert info.quant_rules("int8-static", newer).weight_bits == 8
    with pytest.raises(BadValue, match="INFERENCE_PRECISION_HINT=bf16"):
        info.quant_rules("bf16", newer)
