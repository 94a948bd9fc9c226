"""What makes a result show itself costs nothing until it is asked to."""

from __future__ import annotations

from collections.abc import Callable


def test_a_result_brings_no_report_along(fresh_python: Callable[[str], str]) -> None:
    loaded = fresh_python(
        "import sys, edgekit.runtime.explanation; print(*sorted(sys.modules))"
    ).split()
    assert "edgekit.shown" in loaded
    assert [name for name in loaded if name.startswith(("edgekit.report", "rich", "onnx."))] == []
