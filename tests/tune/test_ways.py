"""Candidates are named by what isn't usual, and go to the providers that they suit."""

from __future__ import annotations

import pytest

from edgekit import providers
from edgekit.errors import ProviderUnavailable, UnknownName
from edgekit.package.values import (
    GraphFacts,
    QuantRules,
    Recipe,
    SessionChoice,
    Target,
    Variant,
)
from edgekit.tune.ways import Way, departures, first_ways, suits, usable_providers

FACTS = GraphFacts(20, 3, 100, {"Conv": 1, "MatMul": 1, "Relu": 1})
FLOAT = Variant("fp32", "model", "fp32.onnx", "fp32", FACTS)


def quantized(provider: str, rules: QuantRules) -> Variant:
    ep = providers.find(provider).ort_name
    recipe = Recipe("int8-weight", rules=rules)
    target = Target(provider, ep, arch="x86_64", isa=("avx512_vnni",))
    return Variant("int8", "model", "int8.onnx", "int8", FACTS, target=target, recipe=recipe)


def test_a_label_says_what_is_not_usual() -> None:
    assert Way("fp32", SessionChoice()).label == "fp32 · cpu"
    way = Way(
        "int8",
        SessionChoice(
            "openvino",
            threads=1,
            idle="spin",
            graph_level="basic",
            session_options={"session.set_denormal_as_zero": "1"},
            provider_options={"NUM_STREAMS": "1"},
        ),
    )
    assert way.label == (
        "int8 · openvino, 1 thread, spin, graph level basic, NUM_STREAMS=1, set_denormal_as_zero=1"
    )


def test_threads_that_burn_a_core_are_asked_for_last() -> None:
    usual = SessionChoice()
    spinning = SessionChoice(idle="spin")
    sleeping = SessionChoice(idle="sleep", threads=1, graph_level="extended")
    assert departures(usual) == 0
    assert departures(usual) < departures(sleeping) < departures(spinning)


def test_integers_go_where_the_same_ones_are_wanted() -> None:
    cpu, openvino, tensorrt = map(providers.find, ("cpu", "openvino", "tensorrt"))
    target = Target("cpu", "CPUExecutionProvider", arch="x86_64", isa=("avx512_vnni",))
    rules = cpu.quant_rules("int8-weight", target)
    assert rules == openvino.quant_rules("int8-weight", target)
    ours = quantized("cpu", rules)
    assert suits(ours, cpu)
    assert suits(ours, openvino)
    assert not suits(ours, tensorrt)
    assert not suits(quantized("tensorrt", QuantRules(activation="int8", symmetric=True)), cpu)


def test_a_float_variant_runs_everywhere_in_every_precision_that_a_provider_has() -> None:
    cpu, openvino = map(providers.find, ("cpu", "openvino"))
    ways = first_ways((FLOAT,), (cpu, openvino))
    assert [way.label for way in ways] == [
        "fp32 · cpu",
        "fp32 · openvino",
        "fp32 · openvino, INFERENCE_PRECISION_HINT=bf16",
    ]


def test_the_processor_comes_first_of_what_can_be_used() -> None:
    assert usable_providers()[0].name == "cpu"
    assert [p.name for p in usable_providers(("cpu", "cpu"))] == ["cpu"]


def test_a_provider_that_is_not_there_is_refused() -> None:
    with pytest.raises(UnknownName, match="cdua"):
        usable_providers(("cdua",))
    with pytest.raises(ProviderUnavailable, match="cuda"):
        usable_providers(("cuda",))


def test_other_ways_to_run_leave_the_numbers_as_they_are() -> None:
    choice = SessionChoice()
    others = providers.find("cpu").alternatives(choice, FACTS, 8)
    assert {other.threads for other in others} == {None, 4, 1}
    assert {other.idle for other in others} == {"brief", "spin"}
    assert choice not in others
    alone = providers.find("cpu").alternatives(choice, FACTS, 1)
    assert [other.graph_level for other in alone] == ["extended"]
    norms = GraphFacts(20, 1, 10, {"LayerNormalization": 1})
    apart = providers.find("cpu").alternatives(choice, norms, 1)
    assert [list(other.session_options.values()) for other in apart] == [["SkipLayerNormFusion"]]
    recorded = providers.find("cuda").alternatives(SessionChoice("cuda"), FACTS, 8)
    assert all(other.provider_options for other in recorded)
    for other in recorded:
        providers.find("cuda").translate(other)
