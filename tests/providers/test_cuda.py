from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit import providers
from edgekit.errors import BadValue
from edgekit.package.values import GraphFacts, SessionChoice

CUDA = providers.find("cuda")
OFF = {"NVIDIA_TF32_OVERRIDE": "0"}


def choice(**options: str) -> SessionChoice:
    return SessionChoice(provider="cuda", provider_options=options)


def facts(**operators: int) -> GraphFacts:
    return GraphFacts(opset=20, nodes=sum(operators.values()), parameters=1, operators=operators)


def test_tf32_is_off_unless_asked_for_and_said() -> None:
    _, options = CUDA.translate(choice()).providers[0]
    assert options == {"use_tf32": "0"}
    assert CUDA.computes(choice(), "fp32") == "fp32"
    asked = choice(use_tf32="1")
    assert CUDA.translate(asked).providers[0][1] == {"use_tf32": "1"}
    assert CUDA.computes(asked, "fp32") == "fp32, products in TF32"
    assert CUDA.computes(asked, "fp16") == "fp16"  # TF32 is about float32 alone


@pytest.mark.parametrize("name", ["cuda", "tensorrt", "tensorrt-rtx"])
def test_both_sides_of_a_comparison_are_without_tf32(name: str) -> None:
    provider = providers.find(name)
    assert provider.environment(SessionChoice(provider=name)) == OFF


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-rtx"])
def test_tf32_is_said_where_only_the_processes_own_variable_decides(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, choice = providers.find(name), SessionChoice(provider=name)
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    assert provider.computes(choice, "fp32") == "fp32, products in TF32 where that is faster"
    assert provider.computes(choice, "fp16") == "fp16"
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")  # as in every worker of a bench
    assert provider.computes(choice, "fp32") == "fp32"


def test_with_tf32_each_library_is_left_to_its_own_switch() -> None:
    assert CUDA.environment(choice(use_tf32="1")) == {}


@pytest.mark.parametrize(
    "operators",
    [
        {"QLinearConv": 3, "Relu": 1},
        {"ConvInteger": 1},
        {"Conv": 2, "DequantizeLinear": 4, "QuantizeLinear": 2},
    ],
)
def test_int8_convolutions_are_refused_with_the_reason(operators: dict[str, int]) -> None:
    assert "no int8 convolution" in CUDA.refuses(facts(**operators))


@pytest.mark.parametrize(
    "operators",
    [{"Conv": 3, "Relu": 1}, {"MatMul": 2, "DequantizeLinear": 4}, {"QLinearMatMul": 1}],
)
def test_other_models_are_taken(operators: dict[str, int]) -> None:
    assert CUDA.refuses(facts(**operators)) == ""


@given(limit=st.integers(-(2**70), 2**70))
def test_a_memory_limit_is_a_number_of_bytes(limit: int) -> None:
    asked = choice(gpu_mem_limit=str(limit))
    if 1 <= limit < 2**63:
        assert CUDA.translate(asked).providers[0][1]["gpu_mem_limit"] == str(limit)
    else:
        with pytest.raises(BadValue, match="from 1 to 9223372036854775807"):
            CUDA.translate(asked)


@pytest.mark.parametrize("text", ["+1", " 1", "1 ", "01", "1.0", "1e3", "٣", "0x10", "", "-0"])
def test_a_number_is_written_in_one_way(text: str) -> None:
    with pytest.raises(BadValue):
        CUDA.translate(choice(gpu_mem_limit=text))
