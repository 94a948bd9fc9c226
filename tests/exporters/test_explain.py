from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekit.errors import VerificationFailed
from exporters.explain import failure, known_disagreement


def named(kind: str, text: str) -> Exception:
    made: type[Exception] = type(kind, (Exception,), {})
    return made(text)


@pytest.mark.parametrize(
    ("kind", "text", "problem", "workaround"),
    [
        ("GuardOnDataDependentSymNode", "u0 > 0", "by the value of a tensor", "torch.where"),
        (
            "DispatchError",
            "No ONNX function found for <OpOverload(op='aten.median', overload='dim')>. Failure",
            "torch has no translation of aten.median into ONNX",
            "sort",
        ),
        (
            "DispatchError",
            "No ONNX function found for <OpOverload(op='transformers.grouped_mm_fallback', ov",
            "grouped product of experts",
            "experts_implementation=batched_mm",
        ),
        (
            "TypeError",
            "Unsupported attribute type: '<class 'torch.onnx._internal._tensors.SymbolicTensor'>'",
            "number of groups of a convolution depends on a size",
            "--dynamic",
        ),
        (
            "UnsupportedOperatorError",
            "Exporting the operator 'aten::trunc' to ONNX opset version 20 is not supported.",
            "it has no translation of aten::trunc into ONNX",
            "",
        ),
        (
            "SymbolicValueError",
            "Unsupported: Unfold, input size not accessible.  [Caused by the value '3 defined in",
            "Unsupported: Unfold, input size not accessible",
            "",
        ),
        (
            "UserError",
            "Constraints violated (time)!\n  - You marked time as dynamic but your code "
            "specialized it to be a constant (5).",
            "its code turns the size time into a fixed number",
            "nn.LSTM",
        ),
    ],
)
def test_what_torch_says_is_put_in_words(
    kind: str, text: str, problem: str, workaround: str
) -> None:
    facts = failure(named(kind, text), "net").facts
    assert problem in facts["problem"]
    assert workaround in facts["workaround"]
    assert bool(workaround) == bool(facts["workaround"])
    assert text in facts["details"]


def test_what_nobody_has_put_in_words_is_kept_short() -> None:
    told = failure(named("Strange", "one\n\n  two\nthree " + "x" * 999), "net")
    assert told.facts["problem"] == "Strange: one two"
    assert failure(named("Strange", ""), "net").facts["problem"] == "Strange"
    assert failure(named("Unsupported", "one\n  Explanation: long"), "net").facts["problem"] == (
        "Unsupported: one"
    )


def wrong() -> VerificationFailed:
    return VerificationFailed(output="y", sizes="n=1", problem="off by one")


def test_torch_s_own_two_answers_are_named_where_they_may_be_the_reason() -> None:
    layer = nn.TransformerEncoderLayer(4, 2, batch_first=True)
    with (
        pytest.raises(VerificationFailed, match="enable_nested_tensor=False"),
        known_disagreement(nn.Sequential(nn.TransformerEncoder(layer, 1))),
    ):
        raise wrong()
    with pytest.raises(VerificationFailed) as caught, known_disagreement(nn.Linear(1, 1)):
        raise wrong()
    assert "nested" not in str(caught.value)
    assert torch.backends.mha.get_fastpath_enabled()
