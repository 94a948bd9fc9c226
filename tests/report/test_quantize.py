"""What `edgekit quantize` prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from edgekit.measure.results import Quality
from edgekit.metrics import Closeness, Estimate, wilson
from edgekit.package.values import GraphFacts, Recipe, Target, Variant
from edgekit.quantize.making import Quantized
from edgekit.report.quantize import quantized

TextOf = Callable[..., str]


def quality(right: int, *, cosine: float, accuracy: bool = True) -> Quality:
    share: Estimate | None = wilson(right, 100) if accuracy else None
    return Quality("digits", 100, "here", share, share, Closeness(0.5, 1.0, cosine, 20.0))


@pytest.fixture
def done() -> Quantized:
    return Quantized(
        variant=Variant(
            "half[0]",
            "model",
            "half.onnx",
            "fp16",
            GraphFacts(20, 5, 10, {}),
            parent="fp32",
            target=Target("cuda", "CUDAExecutionProvider"),
            recipe=Recipe("fp16"),
        ),
        size_bytes=1_000_000,
        parent_bytes=2_000_000,
        nodes=5,
        kept={},
        looked_at=1,
        cases=104,
        closeness={"y": Closeness(0.5, 1.0, 0.99, 20.0), "z": Closeness(0.0, 0.0, 1.0, None)},
        quality=quality(90, cosine=0.99),
        parent_quality=quality(95, cosine=1.0),
        made_for="It pays somewhere.",
        target="CUDA",
        measured_on="this CPU",
    )


def test_the_variant_stands_beside_its_parent(done: Quantized, text_of: TextOf) -> None:
    lines = text_of(quantized, "net.edgekit", done).splitlines()
    assert lines[0] == ("net.edgekit  half[0] · fp16, made from fp32 for CUDA · 1.00 MB, ×0.50")
    assert lines[1] == "On 100 held-out digits:"
    assert lines[3].split()[:3] == ["fp32", "95.0", "%"]
    assert lines[4].split()[:3] == ["half[0]", "90.0", "%"]
    assert lines[5] == "Beside fp32, the furthest of 104 cases:"
    assert lines[7].split() == ["y", "5.0e-01", "0.9900000", "20.0"]
    assert lines[8].split() == ["z", "0", "1.0000000", "exact"]
    assert lines[9].startswith(
        "In fp16: 5 nodes. In float32, of those that could be: 0. 1 case told"
    )
    assert lines[10] == "Measured on this CPU. It pays somewhere."
    assert lines[11] == "Next: edgekit bench net.edgekit --provider cuda"


def test_warnings_are_told_and_nothing_is_recommended(done: Quantized, text_of: TextOf) -> None:
    text = text_of(
        quantized, "net.edgekit", msgspec.structs.replace(done, warnings=("accuracy [fell]",))
    )
    assert text.splitlines()[-1] == "Warning: accuracy [fell]"
    assert "Next:" not in text


@pytest.mark.parametrize(("n", "more"), [(3, None), (12, None), (15, "… and 3 more")])
def test_nodes_that_stayed_are_listed_up_to_a_dozen(
    n: int, more: str | None, done: Quantized, text_of: TextOf
) -> None:
    kept = {f"node{index}": "too [large]" for index in range(n)}
    text = text_of(quantized, "net.edgekit", msgspec.structs.replace(done, kept=kept))
    assert text.count("too [large]") == min(n, 12)
    assert ("more: --json lists them all" in text) == (more is not None)
    if more is not None:
        assert more in text


def test_without_labels_there_are_distances_alone(done: Quantized, text_of: TextOf) -> None:
    bare = {
        "quality": quality(0, cosine=0.99, accuracy=False),
        "parent_quality": quality(0, cosine=1.0, accuracy=False),
    }
    text = text_of(quantized, "net.edgekit", msgspec.structs.replace(done, **bare))
    assert "accuracy" not in text
    assert "max abs error" in text


def test_without_held_out_cases_the_reference_cases_are_told(
    done: Quantized, text_of: TextOf
) -> None:
    bare: dict[str, Any] = {"quality": None, "parent_quality": None}
    text = text_of(quantized, "net.edgekit", msgspec.structs.replace(done, **bare))
    assert "held-out" not in text
    assert "Beside fp32" in text
