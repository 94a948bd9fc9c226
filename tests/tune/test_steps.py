"""What is worth making depends on the operators, the weights and the providers."""

from __future__ import annotations

from edgekit import providers
from edgekit.package.values import GraphFacts, Variant
from edgekit.tune.steps import estimated_s, from_optimized, still_to_make, worth_making

CPU = providers.find("cpu")


def named(
    operators: dict[str, int],
    *names: str,
    parameters: int = 1000,
    weights: dict[str, int] | None = None,
) -> list[str]:
    facts = GraphFacts(20, sum(operators.values()), parameters, operators)
    parent = Variant("fp32", "model", "fp32.onnx", "fp32", facts)
    usable = tuple(map(providers.find, names or ("cpu",)))
    read = {"MatMul": parameters} if weights is None else weights
    return [step.name for step in worth_making(parent, usable, weights=lambda: read)[0]]


def test_operators_decide() -> None:
    assert named({"Conv": 3, "Relu": 3}) == ["int8-static", "optimized"]
    assert named({"LSTM": 1}) == ["int8-dynamic", "optimized"]
    assert named({"MatMul": 2}) == ["int8-dynamic", "int8-static", "optimized"]
    assert named({"Conv": 2, "Gemm": 1}) == ["int8-static", "int8-dynamic", "optimized"]
    assert named({"Add": 2}) == ["optimized"]


def test_weights_alone_pay_where_they_do_not_fit_into_caches() -> None:
    small, large = named({"MatMul": 2}), named({"MatMul": 2}, parameters=100_000_000)
    assert "int8-weight" not in small
    assert {"int8-weight", "int4-weight"} <= set(large)
    convolutional = named(
        {"Conv": 53, "Gemm": 1},
        parameters=25_000_000,
        weights={"Conv": 23_000_000, "Gemm": 2_000_000},
    )
    assert not {"int8-weight", "int4-weight"} & set(convolutional)


def test_short_floats_are_for_devices_that_compute_in_them() -> None:
    assert not {"fp16", "bf16"} & set(named({"MatMul": 2}))
    assert {"fp16", "bf16"} <= set(named({"MatMul": 2}, "cuda"))


def test_what_two_providers_want_alike_is_made_once() -> None:
    both = named({"MatMul": 1}, "cpu", "openvino", parameters=100_000_000)
    assert both.count("int8-weight") == 1
    assert "int8-weight-openvino" not in both
    apart = named({"Conv": 2}, "cpu", "tensorrt")
    assert {"int8-static", "int8-static-tensorrt"} <= set(apart)


def test_of_a_variant_of_fewer_bits_nothing_is_made() -> None:
    facts = GraphFacts(20, 1, 10, {"Conv": 1})
    steps, notes = worth_making(
        Variant("int8", "m", "int8.onnx", "int8", facts), (CPU,), weights=dict
    )
    assert steps == []
    assert notes == ["int8 is int8: only variants that exist are tried"]


def test_a_slower_model_takes_longer_to_make() -> None:
    facts = GraphFacts(20, 1, 10, {"Conv": 1})
    step = worth_making(Variant("fp32", "m", "fp32.onnx", "fp32", facts), (CPU,), weights=dict)[0][
        0
    ]
    quick, slow = (
        estimated_s(step, call_ms=ms, evaluation=100, calibration=32, size_bytes=1000)
        for ms in (0.1, 50.0)
    )
    assert quick < slow


def test_rewritten_floats_are_quantized_as_well() -> None:
    facts = GraphFacts(20, 2, 1000, {"MatMul": 2})
    steps, _ = worth_making(Variant("fp32", "m", "fp32.onnx", "fp32", facts), (CPU,), weights=dict)
    again = from_optimized(steps, "optimized")
    assert [step.name for step in again] == ["int8-dynamic-optimized", "int8-static-optimized"]
    assert {step.parent for step in again} == {"optimized"}
    assert from_optimized(again[:0], "optimized") == []


def test_what_follows_only_if_rewrites_pay_is_told_apart() -> None:
    facts = GraphFacts(20, 2, 1000, {"MatMul": 2})
    parent = Variant("fp32", "model", "fp32.onnx", "fp32", facts)
    steps, _ = worth_making(parent, (CPU,), weights=dict)

    def open_steps(there: set[str], done_with: set[str]) -> tuple[list[str], list[str]]:
        sure, following = still_to_make(steps, there=there, done_with=done_with)
        return [step.name for step in sure], [step.name for step in following]

    plain, after = (
        ["int8-dynamic", "int8-static"],
        ["int8-dynamic-optimized", "int8-static-optimized"],
    )
    assert open_steps({"fp32"}, set()) == ([*plain, "optimized"], after)
    assert open_steps({"fp32"}, {"optimized", "int8-static"}) == (["int8-dynamic"], [])
    assert open_steps({"fp32", "optimized", *plain}, set()) == (after, [])
