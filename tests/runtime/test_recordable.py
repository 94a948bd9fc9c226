"""Which models' calls can be recorded, told before and after they are loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import onnxruntime as ort
import pytest

from edgekit.errors import ProviderUnfit
from edgekit.package.values import SessionChoice
from edgekit.runtime.devices import Place
from edgekit.runtime.recordable import option_of, refuse_unreplayable, unrecordable

ON = {"enable_cuda_graph": "1"}
CUDA = SessionChoice(provider="cuda", provider_options=ON)


class WriteOnnx(Protocol):
    def __call__(self, graph: str, name: str = "net") -> Path: ...


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({}, ""),
        ({"enable_cuda_graph": "0"}, ""),
        (ON, "enable_cuda_graph"),
        ({"trt_cuda_graph_enable": "1"}, "trt_cuda_graph_enable"),
    ],
)
def test_recordings_are_asked_for_by_the_providers_options(
    given: dict[str, str], option: str
) -> None:
    assert option_of(SessionChoice(provider="cuda", provider_options=given)) == option


def test_a_model_with_branches_is_refused_before_it_is_loaded() -> None:
    operators = {"Conv": 3, "If": 1, "Loop": 2}
    assert unrecordable(CUDA, operators).startswith("it has If and Loop, which decide while it")
    assert unrecordable(CUDA, {"Conv": 3}) == ""
    assert unrecordable(SessionChoice(provider="cuda"), operators) == ""


@pytest.mark.parametrize(
    ("provider", "placement", "refused"),
    [
        ("cuda", {"cuda": {"Conv": 2}}, ""),
        ("cuda", {"cuda": {"Conv": 2}, "cpu": {"Shape": 1}}, ""),
        (
            "cuda",
            {"cuda": {"Conv": 2}, "other": {"Add": 1}},
            "other runs 1 Add of it while it runs",
        ),
        ("cuda", {"cuda": {"Loop": 1}}, "it has Loop"),
        ("tensorrt", {"tensorrt": {"Conv": 2}}, ""),
        (
            "tensorrt",
            {"tensorrt": {"Conv": 2}, "cuda": {"NonZero": 1}},
            "cuda runs 1 NonZero of it",
        ),
        ("tensorrt", {"tensorrt": {"Conv": 2}, "cpu": {"Shape": 1}}, "cpu runs 1 Shape of it"),
    ],
)
def test_nodes_that_a_replay_would_leave_out_are_refused(
    provider: str, placement: dict[str, dict[str, int]], refused: str, write_onnx: WriteOnnx
) -> None:
    path = write_onnx("(float[n] x) => (float[n] y) { y = Neg(x) }")
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    choice = SessionChoice(provider=provider, provider_options=ON)
    if refused:
        with pytest.raises(ProviderUnfit, match=refused):
            refuse_unreplayable(choice, placement, session, place=Place(), variant="fp32")
    else:
        refuse_unreplayable(choice, placement, session, place=Place(), variant="fp32")


def test_an_input_that_the_processor_reads_is_refused(write_onnx: WriteOnnx) -> None:
    # Every input of a CPU session is read by the processor.
    path = write_onnx("(float[n] x) => (float[n] y) { y = Neg(x) }")
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    with pytest.raises(ProviderUnfit, match="the processor reads its input x while it runs"):
        refuse_unreplayable(
            CUDA, {"cuda": {"Neg": 1}}, session, place=Place("cuda"), variant="fp32"
        )
    refuse_unreplayable(
        SessionChoice(provider="cuda"), {}, session, place=Place("cuda"), variant="fp32"
    )
