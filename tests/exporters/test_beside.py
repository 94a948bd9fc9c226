from __future__ import annotations

import pytest
import torch

from edgekit.measure.ways import How
from edgekit.package.values import SessionChoice
from exporters.beside import Beside, beside


def on(provider: str, **options: str) -> How:
    return How(SessionChoice(provider=provider, provider_options=options), arrays="device")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let PyTorch say that it can use a GPU."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.mark.parametrize("provider", ["cpu", "openvino", "coreml"])
def test_beside_other_providers_it_runs_as_ever(provider: str, gpu: None) -> None:
    assert beside(on(provider)) == (Beside(), "")


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (on("cuda"), Beside("cuda:0", "device", tf32=False)),
        (on("cuda", use_tf32="1", device_id="2"), Beside("cuda:2", "device", tf32=True)),
        (on("tensorrt", device_id="1"), Beside("cuda:1", "device", tf32=False)),
        (on("tensorrt-rtx"), Beside("cuda:0", "device", tf32=False)),
    ],
)
def test_beside_nvidia_s_it_runs_on_the_same_gpu_in_the_same_precision(
    how: How, expected: Beside, gpu: None
) -> None:
    assert beside(how) == (expected, "")


@pytest.mark.parametrize(
    ("cuda", "why"),
    [(None, "is built without CUDA"), ("13.0", "built for CUDA 13.0, finds no GPU")],
)
def test_where_pytorch_can_not_it_runs_on_the_processor_and_a_note_says_why(
    cuda: str | None, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    place, note = beside(on("cuda"))
    assert place == Beside("cpu", "device")
    assert place.kind == "cpu"
    assert note.startswith(
        "the PyTorch original runs on the processor, not beside cuda on the GPU: PyTorch"
    )
    assert note.endswith(why)
