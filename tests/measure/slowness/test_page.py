"""docs/explain.md: what it shows runs as it stands, and names every reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.measure.roofline.peaks import keep_peaks
from edgekit.measure.roofline.rates import MachinePeaks
from edgekit.measure.ways import How
from edgekit.terms import SlowReason, members

pytest.importorskip("onnx", reason="explanations read the graph")

PAGE = Path(__file__).parents[3] / "docs" / "explain.md"


def test_the_examples_of_the_page_run(
    made_up_peaks: MachinePeaks, run_page: Callable[..., list[str]], tmp_path: Path
) -> None:
    keep_peaks(How(), made_up_peaks)
    said = "".join(run_page(PAGE.name, tmp_path))
    assert "HardSigmoid and Mul, which fp32 has inside other kernels, run" in said
    assert "of what this machine can do, bound by " in said


@pytest.mark.parametrize("reason", members(SlowReason))
def test_every_reason_is_on_the_page(reason: SlowReason) -> None:
    assert f"\n| {reason} | " in PAGE.read_text(encoding="utf-8")
